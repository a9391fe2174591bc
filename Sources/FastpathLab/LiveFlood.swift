// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CFastpathProgram
import FastpathCore
import FastpathKernel
import Glibc

/// A flood that is really fast: one frame, run through a BPF program that gives it the next source address and hands
/// it to an interface (BPF_PROG_TEST_RUN with live frames), so that no sk_buff is made on the sending side.
///
/// The interface is a veth whose peer has a NAPI poll: an XDP program, or `gro` on.
public struct LiveFlood: Sendable {
    /// Where the frames leave.
    public var interface: LabInterface
    /// Ethernet, IPv4 without options, UDP; made by ``Frame/udp(from:to:payload:)``.
    public var frame: [UInt8]
    /// IPv4, host byte order: the first of `sourceCount` consecutive sources, taken in turn.
    public var firstSource: UInt32
    public var sourceCount: Int
    /// Where each frame's number is written, as eight hexadecimal digits: an even offset in the payload, up to
    /// ``lastStamp``. Nil: all frames are the same but for their source.
    public var stamp: Int?
    /// The CPU that sends, and that runs the receiver's side of the veth too; nil: any.
    public var cpu: Int?

    /// The greatest offset of a stamp in a payload.
    public static let lastStamp = Int(FASTPATH_STAMP_LIMIT) - Frame.payloadOffset

    public init(
        from interface: LabInterface, frame: [UInt8], firstSource: UInt32, sourceCount: Int = 1, stamp: Int? = nil,
        cpu: Int? = nil
    ) {
        self.interface = interface
        self.frame = frame
        self.firstSource = firstSource
        self.sourceCount = sourceCount
        self.stamp = stamp
        self.cpu = cpu
    }

    /// Frames in flight at a time. A veth's ring holds 256; the poll that empties it runs after each batch.
    fileprivate static let batch = 64

    /// Sends on the calling thread, which is pinned from here on where `cpu` says so: give it a ``Worker``.
    public func run(_ limits: SendLimits, until isStopping: () -> Bool = { false }) throws(Failure) -> Sent {
        if let cpu { try Thread.pin(toCPU: cpu) }
        let generator = try prepare()
        let start = ContinuousClock.now
        // Without a rate a portion is some milliseconds of work: long enough to forget the call's cost.
        try limits.drive(portion: limits.rate == nil ? 16384 : 65536, until: isStopping) { (count) throws(Failure) in
            try generator.send(count)
        }
        return try generator.sent(in: ContinuousClock.now - start)
    }

    /// Loads the generator, to send in portions from the calling thread: for those who measure each of them.
    public func prepare() throws(Failure) -> PreparedFlood {
        try checkStamp()
        return try PreparedFlood(self, initialState)
    }

    /// Sends on a thread of its own.
    public func start(_ limits: SendLimits) throws(Failure) -> Worker<Sent> {
        try Worker { (isStopping) throws(Failure) in try run(limits, until: isStopping) }
    }

    private func checkStamp() throws(Failure) {
        guard let stamp else { return }
        let end = Frame.payloadOffset + stamp + Int(FASTPATH_STAMP_LENGTH)
        guard stamp >= 0, stamp % 2 == 0, stamp <= Self.lastStamp, end <= frame.count else {
            throw Failure(
                .usage, tried: "number the frames of a flood", on: "offset \(stamp)",
                because: "it is odd, behind the frame or beyond \(Self.lastStamp)", next: "Choose another place.")
        }
    }

    private var initialState: fastpath_flood_state {
        // Sums in the byte order of memory, as the program adds: RFC 1071, section 2 (B).
        var frame = frame
        if let stamp {
            let place = Frame.payloadOffset + stamp
            frame.replaceSubrange(
                place..<place + Int(FASTPATH_STAMP_LENGTH), with: repeatElement(0, count: Int(FASTPATH_STAMP_LENGTH)))
        }
        let ip = frame[Frame.ethernetLength..<Frame.ethernetLength + Frame.ipv4Length]
        let udp = frame[(Frame.ethernetLength + Frame.ipv4Length)...]
        let source = ip[ip.startIndex + 12..<ip.startIndex + 16]
        let checksum = ip[ip.startIndex + 10..<ip.startIndex + 12]
        let ipSum = InternetChecksum.sum(ip) - InternetChecksum.sum(source) - InternetChecksum.sum(checksum)
        let pseudoHeader = ip[(ip.startIndex + 16)...] + [0, 17] + bigEndian(UInt16(udp.count))
        let udpChecksum = udp[udp.startIndex + 6..<udp.startIndex + 8]
        let udpSum = InternetChecksum.sum(pseudoHeader) + InternetChecksum.sum(udp) - InternetChecksum.sum(udpChecksum)

        var state = fastpath_flood_state()
        state.ifindex = interface.index
        state.first_source = firstSource
        state.source_count = UInt32(max(1, sourceCount))
        state.stamp_offset = stamp.map { UInt32(Frame.payloadOffset + $0) } ?? 0
        state.ip_sum = UInt32(InternetChecksum.fold(ipSum).byteSwapped)
        state.udp_sum = UInt32(InternetChecksum.fold(udpSum).byteSwapped)
        return state
    }

    /// Frames that the peer had no room for, since the interface was made.
    fileprivate func refused() throws(Failure) -> Int {
        Self.parseRefused(try Shell.run(["ethtool", "-S", interface.name], in: interface.host.namespace))
    }

    /// The sum over a veth's queues in `ethtool -S`.
    static func parseRefused(_ text: String) -> Int {
        text.split(separator: "\n").reduce(0) { sum, line in
            let parts = line.split(separator: ":")
            guard parts.count == 2, parts[0].hasSuffix("_xdp_xmit_errors") else { return sum }
            return sum + (Int(parts[1].drop { $0 == " " }) ?? 0)
        }
    }
}

/// A flood whose program is in the kernel. The interface must not change its device while this lives.
public final class PreparedFlood {
    private let flood: LiveFlood
    private let program: Program
    private let map: BPFMap
    /// Of the host, where the program is attached to it.
    private let loopback: UInt32?
    /// Of the interface and of the program, at the last look.
    private var refused: Int
    private var redirected: Int = 0

    private static let key = [UInt8](repeating: 0, count: 4)

    fileprivate init(_ flood: LiveFlood, _ state: fastpath_flood_state) throws(Failure) {
        self.flood = flood
        refused = try flood.refused()
        let object = try LoadedObject(embedded: fastpath_lab_flood(), name: "the flood generator")
        program = try object.program(FASTPATH_FLOOD_PROGRAM)
        map = try object.map(FASTPATH_FLOOD_MAP)
        var state = state
        try map.update(key: Self.key, value: withUnsafeBytes(of: &state) { Array($0) })
        // A test run enters its program into the kernel's XDP dispatcher and takes it out again, and waits for all
        // CPUs both times: some 20 ms a call. A program that is attached somewhere is in it already.
        // Where another flood of this host has the place, it is only slower.
        let program = program
        loopback = try flood.interface.host.perform { () throws(Failure) in
            let loopback = if_nametoindex("lo")
            let isAttached = (try? XDP.attach(program, to: loopback, mode: .generic, replacing: nil)) != nil
            return isAttached ? loopback : nil
        }
    }

    deinit {
        guard let loopback else { return }
        try? flood.interface.host.perform { () throws(Failure) in
            try XDP.detach(program, from: loopback, mode: .generic)
        }
    }

    /// Sends `count` frames; those that the interface refuses are among them.
    public func send(_ count: Int) throws(Failure) {
        // The device a frame seems to come from must be in the namespace where it leaves.
        let frame = flood.frame
        try flood.interface.host.perform { () throws(Failure) in
            try frame.span.withUnsafeBytes { (bytes) throws(Failure) in
                try TestRun.live(
                    program, frame: bytes, interface: flood.interface.index, count: count,
                    batch: min(count, LiveFlood.batch))
            }
        }
    }

    /// What was sent since the last call of this, which took `duration`.
    public func sent(in duration: Duration) throws(Failure) -> Sent {
        let value = try map.lookup(key: Self.key) ?? []
        let state = value.withUnsafeBytes { $0.loadUnaligned(as: fastpath_flood_state.self) }
        let refusedBefore = refused
        let redirectedBefore = redirected
        refused = try flood.refused()
        redirected = Int(state.redirected)
        return Sent(
            packets: redirected - redirectedBefore - (refused - refusedBefore), refused: refused - refusedBefore,
            duration: duration)
    }
}

extension LoadedObject {
    /// Loads an object that the build put into the command. `options` as for the edge's own object.
    public convenience init(
        embedded object: fastpath_object, name: String, options: Options = Options()
    ) throws(Failure) {
        try self.init(
            bytes: UnsafeRawBufferPointer(start: object.bytes, count: object.length), name: name, options: options)
    }
}
