// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// Questions to a driver by SIOCETHTOOL (linux/ethtool.h), about an interface of the calling thread's namespace.
/// None of them needs a privilege. Each answers nil where the driver does not know the question.
public struct Ethtool {
    private let interface: String
    private let probe: FileDescriptor

    /// Nil where no socket can be made.
    public init?(interface: String) {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | O_CLOEXEC, 0)
        guard descriptor >= 0 else { return nil }
        probe = FileDescriptor(descriptor)
        self.interface = interface
    }

    /// Receive queues: how many are in use, and how many the NIC could have (ETHTOOL_GCHANNELS).
    public func receiveChannels() -> (current: Int, most: Int)? {
        var channels = ethtool_channels()
        channels.cmd = UInt32(ETHTOOL_GCHANNELS)
        guard withUnsafeMutableBytes(of: &channels, ask) else { return nil }
        // A channel is for receiving, or combined: for receiving and sending.
        return (
            Int(channels.rx_count + channels.combined_count), Int(channels.max_rx + channels.max_combined)
        )
    }

    /// Names of the features that are on, as `ethtool -k` shows the raw ones: `rx-gro`, `rx-lro`, `rx-vlan-hw-parse` …
    /// (ETHTOOL_GFEATURES, named by ETHTOOL_GSTRINGS).
    public func activeFeatures() -> Set<String>? {
        guard let names = featureNames() else { return nil }
        let blocks = (names.count + 31) / 32
        // struct ethtool_gfeatures { cmd, size, { available, requested, active, never_changed } … }
        var words = [UInt32](repeating: 0, count: 2 + 4 * blocks)
        words[0] = UInt32(ETHTOOL_GFEATURES)
        words[1] = UInt32(blocks)
        guard words.withUnsafeMutableBytes(ask) else { return nil }
        let active = names.indices.filter { words[2 + 4 * ($0 / 32) + 2] >> UInt32($0 % 32) & 1 == 1 }
        return Set(active.map { names[$0] })
    }

    private func featureNames() -> [String]? {
        let set = UInt32(ETH_SS_FEATURES.rawValue)
        // struct ethtool_sset_info { cmd, reserved, sset_mask (64 bits), data[] }
        var info: [UInt32] = [UInt32(ETHTOOL_GSSET_INFO), 0, 1 << set, 0, 0]
        guard info.withUnsafeMutableBytes(ask), info[4] > 0, info[4] < 4_096 else { return nil }
        let count = Int(info[4])
        let nameSize = Int(ETH_GSTRING_LEN)
        // struct ethtool_gstrings { cmd, string_set, len, data[] }
        var words = [UInt32](repeating: 0, count: 3 + count * nameSize / 4)
        words[0] = UInt32(ETHTOOL_GSTRINGS)
        words[1] = set
        words[2] = UInt32(count)
        guard words.withUnsafeMutableBytes(ask) else { return nil }
        return words.withUnsafeBytes { bytes in
            (0..<count).map {
                String(decoding: bytes[(12 + $0 * nameSize)...].prefix(nameSize).prefix { $0 != 0 }, as: UTF8.self)
            }
        }
    }

    private func ask(_ question: UnsafeMutableRawBufferPointer) -> Bool {
        var request = ifreq()
        withUnsafeMutableBytes(of: &request.ifr_ifrn) { $0.copyBytes(from: Array(interface.utf8).prefix($0.count - 1)) }
        request.ifr_ifru.ifru_data = question.baseAddress?.assumingMemoryBound(to: CChar.self)
        return ioctl(probe.rawValue, UInt(SIOCETHTOOL), &request) == 0
    }
}
