// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// What the reader of a queue's AF_XDP socket has registered: the part of `struct fastpath_consumer` that decides.
public struct RegisteredConsumer: Hashable, Sendable {
    /// When it was last willing to read: microseconds of the boot-time clock, not 0.
    public var beat: UInt64
    /// What it takes datagrams for, at most ``endpointLimit``.
    public var endpoints: [UDPEndpoint]
    /// Bytes of the longest frame that it takes.
    public var longest: Int

    /// Microseconds after a beat for which it is taken to read.
    public static let beatLimit = Int64(FASTPATH_BEAT_LIMIT)
    public static let endpointLimit = Int(FASTPATH_CONSUMER_ENDPOINTS)

    /// Why a datagram that would be redirected is left to the kernel.
    public enum Refusal: String, Hashable, Sendable, CaseIterable {
        case stale
        case tooLong = "too_long"
        case unwanted
    }

    public init(beat: UInt64, endpoints: [UDPEndpoint], longest: Int = 65_535) {
        self.beat = beat
        self.endpoints = endpoints
        self.longest = longest
    }

    /// Nil where it takes a frame of `length` bytes to `destination`.
    func refusal(of destination: UDPEndpoint, length: Int, now: UInt64) -> Refusal? {
        if Int64(bitPattern: now &- beat) > Self.beatLimit { return .stale }
        if length > longest { return .tooLong }
        return endpoints.contains(destination) ? nil : .unwanted
    }
}
