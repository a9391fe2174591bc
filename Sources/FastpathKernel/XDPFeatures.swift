// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// What a driver says of its own XDP support (Linux 6.3): `enum netdev_xdp_act` of linux/netdev.h.
public struct XDPFeatures: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// PASS, DROP, TX and ABORTED in the driver: native mode.
    public static let basic = XDPFeatures(rawValue: 1 << 0)
    public static let redirect = XDPFeatures(rawValue: 1 << 1)
    /// AF_XDP without copies.
    public static let zeroCopy = XDPFeatures(rawValue: 1 << 3)
    /// Frames of several buffers on the way in: large MTUs.
    public static let severalBuffers = XDPFeatures(rawValue: 1 << 5)

    /// The answer for an interface of the calling thread's namespace, by the generic netlink family `netdev`
    /// (Documentation/netlink/specs/netdev.yaml). Nil where the kernel is older, or nothing is there by that index.
    public init?(interface: UInt32) {
        let family = Self.ask(
            type: UInt16(NLMSG_MIN_TYPE), command: UInt8(CTRL_CMD_GETFAMILY), attribute: UInt16(CTRL_ATTR_FAMILY_NAME),
            value: Array("netdev\0".utf8), wanted: UInt16(CTRL_ATTR_FAMILY_ID))
        guard let family, family.count == 2 else { return nil }
        let id = family.withUnsafeBytes { $0.loadUnaligned(as: UInt16.self) }
        let index = withUnsafeBytes(of: interface) { Array($0) }
        let answer = Self.ask(
            type: id, command: Self.getDevice, attribute: Self.deviceIndex, value: index,
            wanted: Self.deviceFeatures)
        guard let answer, answer.count == 8 else { return nil }
        self.init(rawValue: answer.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
    }

    // linux/netdev.h, newer than the headers that some distributions install.
    private static let getDevice: UInt8 = 1  // NETDEV_CMD_DEV_GET
    private static let deviceIndex: UInt16 = 1  // NETDEV_A_DEV_IFINDEX
    private static let deviceFeatures: UInt16 = 3  // NETDEV_A_DEV_XDP_FEATURES

    /// Sends one generic netlink request with one attribute, and returns one attribute of the answer.
    private static func ask(
        type: UInt16, command: UInt8, attribute: UInt16, value: [UInt8], wanted: UInt16
    ) -> [UInt8]? {
        let descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | O_CLOEXEC, NETLINK_GENERIC)
        guard descriptor >= 0 else { return nil }
        let netlink = FileDescriptor(descriptor)
        let request = message(type: type, command: command, attribute: attribute, value: value)
        guard send(netlink.rawValue, request, request.count, 0) == request.count else { return nil }
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        let count = recv(netlink.rawValue, &buffer, buffer.count, 0)
        guard count >= headerSize else { return nil }
        return buffer.withUnsafeBytes { bytes in
            let header = bytes.loadUnaligned(as: nlmsghdr.self)
            guard header.nlmsg_type == type, Int(header.nlmsg_len) <= count else { return nil }
            return find(wanted, in: UnsafeRawBufferPointer(rebasing: bytes[headerSize..<Int(header.nlmsg_len)]))
        }
    }

    /// nlmsghdr and genlmsghdr.
    private static let headerSize = MemoryLayout<nlmsghdr>.size + MemoryLayout<genlmsghdr>.size

    private static func message(type: UInt16, command: UInt8, attribute: UInt16, value: [UInt8]) -> [UInt8] {
        var header = nlmsghdr()
        let attributeSize = MemoryLayout<rtattr>.size + value.count
        header.nlmsg_len = UInt32(headerSize + (attributeSize + 3) / 4 * 4)
        header.nlmsg_type = type
        header.nlmsg_flags = UInt16(NLM_F_REQUEST)
        let generic = genlmsghdr(cmd: command, version: 1, reserved: 0)
        let head = rtattr(rta_len: UInt16(attributeSize), rta_type: attribute)
        let bytes = [
            withUnsafeBytes(of: header) { Array($0) }, withUnsafeBytes(of: generic) { Array($0) },
            withUnsafeBytes(of: head) { Array($0) }, value,
        ].flatMap { $0 }
        return bytes + [UInt8](repeating: 0, count: Int(header.nlmsg_len) - bytes.count)
    }

    private static func find(_ wanted: UInt16, in attributes: UnsafeRawBufferPointer) -> [UInt8]? {
        var rest = attributes
        while rest.count >= MemoryLayout<rtattr>.size {
            let header = rest.loadUnaligned(as: rtattr.self)
            let length = Int(header.rta_len)
            guard length >= MemoryLayout<rtattr>.size, length <= rest.count else { return nil }
            if header.rta_type == wanted { return Array(rest[MemoryLayout<rtattr>.size..<length]) }
            rest = UnsafeRawBufferPointer(rebasing: rest[min(rest.count, (length + 3) / 4 * 4)...])
        }
        return nil
    }
}
