// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc
import Support
import Testing

/// Frames grown from the table by structured mutation, program against reference filter. The seed is printed;
/// FASTPATH_TEST_SEED and FASTPATH_TEST_FRAMES choose others.
@Suite(.serialized) struct GeneratedTests {
    @Test("at least 200 000 generated frames: no difference")
    func differential() throws {
        let seed = environment("FASTPATH_TEST_SEED") ?? UInt64.random(in: 0...UInt64.max)
        let frames = Int(environment("FASTPATH_TEST_FRAMES") ?? 200_000)
        print("generated frames: \(frames), FASTPATH_TEST_SEED=\(seed)")
        var mutator = Mutator(seed: seed, seeds: ClassicTests.rows.map(\.frame).filter { $0.count >= 14 })

        var policies = [FrameRow(name: "none"), FrameRow(name: "lists"), FrameRow(name: "socket")]
        policies[1].blocked = [0xc000_0201, 0xc633_6401].map(IPPrefix.init(ipv4:))
        policies[1].allowed = [0xc000_0203, 0xc633_6401].map(IPPrefix.init(ipv4:))
        policies[2].allowed = [IPPrefix(ipv4: 0xc000_0201)]
        policies[2].hasSocket = true
        let twins = try policies.map { try Twin($0) }

        try compare(twins, frames: frames, of: &mutator, reaching: Reason.all.filter { $0 != .rateLimited })
    }

    /// Judges so many frames, each by the next twin, at most some milliseconds after the last. A generator that no longer reaches
    /// a rule would prove nothing about it.
    private func compare(
        _ twins: [Twin], frames: Int, of mutator: inout Mutator, reaching reasons: [Reason]
    ) throws {
        var seen: [Reason: Int] = [:]
        for number in 0..<frames {
            let (frame, linear) = mutator.next()
            let twin = twins[number % twins.count]
            twin.setTime(twin.reference.now + UInt64(number % 7) * 500)
            seen[try twin.agree(on: frame, linear: linear).reason, default: 0] += 1
        }
        print("of them:", Reason.all.map { "\($0.name) \(seen[$0, default: 0])" }.joined(separator: ", "))
        for reason in reasons { #expect(seen[reason, default: 0] > frames / 200, "\(reason) is hardly reached") }
    }

    @Test("four times as many with switches, limits, lists and dry run taken at random: no difference")
    func switches() throws {
        let seed = environment("FASTPATH_TEST_SEED") ?? UInt64.random(in: 0...UInt64.max)
        let frames = Int(environment("FASTPATH_TEST_FRAMES") ?? 200_000) * 4
        print("generated frames: \(frames), FASTPATH_TEST_SEED=\(seed)")
        var random = SplitMix64(state: seed)
        let rows = CarrierTests.rows + ClassicTests.rows
        var mutator = Mutator(seed: seed ^ 1, seeds: rows.map(\.frame).filter { $0.count >= 34 })

        // Profile carrier every second time, as it is or with one switch off or with any set.
        let twins = try (0..<24).map { number in
            var row = FrameRow(name: "\(number)")
            row.settings = .carrier
            if number % 4 == 1, let off = FilterSwitch.allCases.randomElement(using: &random) {
                row.settings.switches.remove(off)
            } else if number % 4 == 3 {
                row.settings.switches = row.settings.switches.filter { _ in Bool.random(using: &random) }
            }
            if number % 3 == 0 { row.settings.ports.insert(5061) }
            if number % 5 == 0 {
                row.settings.firstLineLimit = Int.random(in: FilterSettings.firstLineLimits, using: &random)
            }
            if number % 6 < 2 { row.blocked = [0xc000_0201, 0xc633_6401].map(IPPrefix.init(ipv4:)) }
            if number % 6 == 2 { row.allowed = [IPPrefix(ipv4: 0xc000_0201)] }
            if number % 5 < 2 { row.policy = try Self.policy(&random) }
            row.settings.hasLiveMaps = number % 7 != 6
            for requests in RequestClass.allCases where number % 3 == 1 {
                row.settings.limits[requests] = RateLimit(
                    "\(Int.random(in: 1...9, using: &random))/s:4", scope: .source)
            }
            if number % 8 == 2 { row.settings.budget = RateLimit("40/s:20", scope: .budget) }
            if number % 8 == 5 {
                row.settings.dryRun = Set(Reason.droppable.filter { _ in Bool.random(using: &random) })
            }
            row.hasSocket = number % 2 == 0
            if number % 4 == 0 {
                // The time goes on by a second and a half for each twin, in a million frames.
                row.consumer = RegisteredConsumer(
                    beat: row.now + UInt64.random(in: 0...800_000, using: &random),
                    endpoints: [
                        UDPEndpoint(try IPPrefix("192.0.2.2"), 5060), UDPEndpoint(try IPPrefix("2001:db8::2"), 5060),
                    ],
                    longest: Int.random(in: 60...1_500, using: &random))
            }
            return try Twin(row)
        }

        try compare(twins, frames: frames, of: &mutator, reaching: Reason.all)
    }

    /// What covers the sources of the frames, each with a kind of its own.
    private static func policy(_ random: inout SplitMix64) throws -> [PolicyTableChange] {
        let prefixes = [
            "192.0.2.1", "192.0.2.0/24", "198.51.100.0/22", "198.51.100.1", "203.0.113.8/29", "2001:db8::/32",
            "2001:db8::1",
        ]
        return try prefixes.compactMap { (text) -> PolicyTableChange? in
            let kinds: PolicyKinds? = [nil, .block, .allow, .trust].randomElement(using: &random) ?? nil
            return try kinds.map { PolicyTableChange(try IPPrefix(text), $0) }
        }
    }

    private func environment(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}

/// Grows frames that are nearly right: what a rule looks at is what gets changed.
struct Mutator {
    private var random: SplitMix64
    private let seeds: [[UInt8]]
    private static let words = [
        "SIP/2.0", "SIP/2.", "SIP/", "IP/2.0", "SIP/2.1", "SIP/2.SIP/2.0", "OPTIONS ", "OPTIONS", "options ",
        "REGISTER ",
        "REGISTER", "INVITE sip:", "\r\n", "\r\n\r\n", "SIP/2.0 200 OK\r\n", "0.2/PIS", "\0",
        "OPTIONS\t", "\t", " ", "\n", "SIP/3.0", " SIP/2.0\r\n", "\0\0\0\0", "!\u{12}",
    ].map { Array($0.utf8) }
    private static let sources: [[UInt8]] = [[192, 0, 2, 1], [192, 0, 2, 3], [198, 51, 100, 1], [203, 0, 113, 9]]

    init(seed: UInt64, seeds: [[UInt8]]) {
        random = SplitMix64(state: seed)
        self.seeds = seeds
    }

    /// A frame of 14 to about 1 500 bytes, and how much of it lies in the first buffer (nil: all).
    mutating func next() -> (frame: [UInt8], linear: Int?) {
        var frame = seeds[pick(seeds.count)]
        for _ in 0..<pick(4) { mutate(&frame) }
        while frame.count < TestRun.shortestFrame { frame.append(0) }
        let linear = pick(4) == 0 ? Int.random(in: TestRun.shortestFrame...frame.count, using: &random) : nil
        return (frame, linear)
    }

    private mutating func pick(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    private mutating func mutate(_ frame: inout [UInt8]) {
        let header = 14 + (frame.count > 14 ? Int(frame[14] & 15) * 4 : 20)
        let payload = header + 8
        switch pick(15) {
        case 0: frame.removeLast(pick(frame.count))
        case 1: frame += [UInt8](repeating: [0, 0x41, 0x53, 0x2f][pick(4)], count: pick(60))
        case 2: write16(&frame, at: header + 4, pick(3) == 0 ? pick(65536) : frame.count - header + pick(41) - 20)
        case 3: write16(&frame, at: 16, pick(3) == 0 ? pick(65536) : frame.count - 14 + pick(41) - 20)
        case 4: write16(&frame, at: 20, [0, 0x2000, 0x4000, 1, 0x2001, 0x1fff][pick(6)])
        case 5: write(&frame, at: 26, Self.sources[pick(4)])
        case 6: write(&frame, at: payload + pick(70), Self.words[pick(Self.words.count)])
        case 7: write(&frame, at: payload, Self.words[pick(Self.words.count)])
        case 8: insert(&frame, at: payload + pick(70), Self.words[pick(Self.words.count)])
        case 9: if frame.count > payload { honest(&frame, header) }
        case 10: if !frame.isEmpty { frame[pick(frame.count)] ^= 1 << UInt8(pick(8)) }
        case 11: tag(&frame)
        case 12: insert(&frame, at: payload, [UInt8](repeating: [0x0d, 0x0a, 0x20, 0][pick(4)], count: pick(20)))
        case 13: extend(&frame)
        default: if frame.count > 14 { frame[14] = 0x40 | UInt8([5, 5, 5, 6, 8, 15, 4][pick(7)]) }
        }
    }

    /// A VLAN tag more, as far as two.
    private mutating func tag(_ frame: inout [UInt8]) {
        insert(&frame, at: 12, [pick(2) == 0 ? [0x81, 0x00] : [0x88, 0xa8], [0, UInt8(pick(256))]].flatMap { $0 })
    }

    /// An IPv6 extension header more, of any kind, right behind the IPv6 header.
    private mutating func extend(_ frame: inout [UInt8]) {
        guard frame.count > 54, frame[12] == 0x86, frame[13] == 0xdd else { return }
        let kinds: [UInt8] = [0, 43, 44, 51, 60, 135, 139, 140, 17, 6]
        let flags = [UInt8]([0, 0, 1, 8, 255][pick(5)..<5].prefix(1))
        insert(&frame, at: 54, [frame[20], UInt8([0, 0, 0, 1, 255][pick(5)]), 0] + flags + [0, 0, 0, 1])
        frame[20] = kinds[pick(kinds.count)]
        write16(&frame, at: 18, frame.count - 54)
    }

    /// Lengths that fit what is there.
    private func honest(_ frame: inout [UInt8], _ header: Int) {
        write16(&frame, at: 16, frame.count - 14)
        write16(&frame, at: header + 4, frame.count - header)
    }

    private func write16(_ frame: inout [UInt8], at offset: Int, _ number: Int) {
        write(&frame, at: offset, [UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)])
    }

    private func write(_ frame: inout [UInt8], at offset: Int, _ bytes: [UInt8]) {
        for (index, byte) in bytes.enumerated() where offset + index < frame.count { frame[offset + index] = byte }
    }

    private func insert(_ frame: inout [UInt8], at offset: Int, _ bytes: [UInt8]) {
        if offset <= frame.count { frame.insert(contentsOf: bytes, at: offset) }
    }
}
