// SPDX-License-Identifier: Apache-2.0
import CLibPcap
import FastpathCore

/// How packets begin in a capture.
enum LinkLayer: CaseIterable {
    case ethernet
    /// What `tcpdump -i any` wrote until 2020: LINKTYPE_LINUX_SLL.
    case linuxCooked
    /// What it writes since: LINKTYPE_LINUX_SLL2.
    case linuxCooked2

    init?(dataLink: Int32) {
        guard let layer = Self.allCases.first(where: { $0.dataLink == dataLink }) else { return nil }
        self = layer
    }

    private var dataLink: Int32 {
        switch self {
        case .ethernet: DLT_EN10MB
        case .linuxCooked: DLT_LINUX_SLL
        case .linuxCooked2: DLT_LINUX_SLL2
        }
    }

    /// Bytes before the payload, and where the two bytes of the Ethernet type stand among them.
    /// https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html and …_SLL2.html
    private var header: (length: Int, typeOffset: Int) {
        switch self {
        case .ethernet: (14, 12)
        case .linuxCooked: (16, 14)
        case .linuxCooked2: (20, 0)
        }
    }

    /// The packet as a driver would hand it to XDP. A cooked header lost the destination's address, which no rule
    /// reads: zeros stand for both addresses. Nil where the capture cut into the header itself.
    func frame(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        let (length, offset) = header
        guard bytes.count >= length else { return nil }
        if self == .ethernet { return [UInt8](bytes) }
        return [UInt8](repeating: 0, count: 12) + bytes[offset..<offset + 2] + bytes[length...]
    }
}

/// One packet of a capture.
struct CapturedPacket {
    /// From 1.
    var number: Int
    /// Nanoseconds since 1970-01-01 UTC.
    var time: Int64
    /// From the Ethernet header on; empty where the capture holds less than that header.
    var frame: [UInt8]
    /// Bytes in the file, and bytes on the wire.
    var capturedLength: Int
    var originalLength: Int

    var isTruncated: Bool { capturedLength < originalLength }
}

/// A capture file, pcap or pcapng, read packet by packet.
final class CaptureFile {
    let path: String
    private let libpcap: LibPcap
    private let handle: OpaquePointer
    private let linkLayer: LinkLayer
    private var count = 0

    /// `path` may be `-` for standard input. Throws where the file cannot be read or its packets begin with
    /// something else than Ethernet or Linux cooked headers.
    init(path: String) throws(Failure) {
        self.path = path == "-" ? "standard input" : path
        libpcap = try LibPcap.load()
        var message = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
        guard let handle = libpcap.open(path, UInt32(PCAP_TSTAMP_PRECISION_NANO), &message) else {
            throw Failure(
                tried: "open the capture", on: self.path, because: Self.text(message, without: path),
                next: "Give a pcap or pcapng file, as 'tcpdump -w FILE' writes.")
        }
        let dataLink = libpcap.dataLink(handle)
        guard let linkLayer = LinkLayer(dataLink: dataLink) else {
            let name = libpcap.dataLinkName(dataLink).map { String(cString: $0) } ?? "\(dataLink)"
            let words = libpcap.dataLinkDescription(dataLink).map { " (\(String(cString: $0)))" } ?? ""
            libpcap.close(handle)
            throw Failure(
                tried: "read the capture", on: self.path,
                because: "its packets begin with a header of type \(name)\(words), which is not supported",
                next: "Capture with Ethernet headers (tcpdump -i IFACE) or Linux cooked ones (tcpdump -i any).")
        }
        self.handle = handle
        self.linkLayer = linkLayer
    }

    deinit { libpcap.close(handle) }

    /// The next packet, or nil at the end.
    func next() throws(Failure) -> CapturedPacket? {
        var header: UnsafeMutablePointer<pcap_pkthdr>?
        var data: UnsafePointer<UInt8>?
        let result = libpcap.next(handle, &header, &data)
        if result == PCAP_ERROR_BREAK { return nil }
        guard result == 1, let header = header?.pointee, let data else {
            let reason = libpcap.lastError(handle).map { String(cString: $0) } ?? "error \(result)"
            throw Failure(
                tried: "read the capture", on: path,
                because: "after \(Format.plural(count, "packet")): \(reason)",
                next: "The file is damaged or cut off there; what was printed before holds.")
        }
        count += 1
        // The file was opened for nanoseconds, which libpcap puts into tv_usec.
        // A damaged file may hold any second: times that do not fit become the last or the first that does.
        let time = Int64(clamping: Int128(header.ts.tv_sec) * 1_000_000_000 + Int128(header.ts.tv_usec))
        let bytes = UnsafeRawBufferPointer(start: data, count: Int(header.caplen))
        return CapturedPacket(
            number: count, time: time, frame: linkLayer.frame(bytes) ?? [],
            capturedLength: Int(header.caplen), originalLength: Int(header.len))
    }

    /// libpcap's message; it may begin with the path, which the failure names anyway.
    private static func text(_ message: [CChar], without path: String) -> String {
        let text = String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return text.hasPrefix(path + ": ") ? String(text.dropFirst(path.count + 2)) : text
    }
}
