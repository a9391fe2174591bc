// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Support
import Testing

/// The loaded program and the reference filter against hand-written frames and verdicts. Needs root.
@Suite(.serialized) struct ClassicTests {
    static let rows = fixture("classic")

    @Test("every row of the table", arguments: rows)
    func row(_ row: FrameRow) throws {
        try row.check()
    }

    @Test("the same, however few bytes lie in the first buffer", arguments: rows.filter { $0.frame.count > 14 })
    func cut(_ row: FrameRow) throws {
        let twin = try Twin(row)
        for linear in 14..<min(row.frame.count, 180) {
            try twin.expect(row.judgement, of: row.frame, linear: linear)
        }
    }

    @Test("the same, as a kernel before 5.18 runs it, which knows one buffer only")
    func oneBuffer() throws {
        for row in Self.rows {
            let twin = try Twin(row, object: "build/tests/one_buffer.bpf.o")
            try twin.expect(row.judgement, of: row.frame)
            try twin.agreeOnCuts(of: row.frame, upTo: 200)
        }
    }

    @Test("every frame cut short at every byte: the program agrees with the reference filter")
    func truncated() throws {
        for row in Self.rows where row.frame.count < 200 { try Twin(row).agreeOnCuts(of: row.frame) }
    }

    @Test("SIP/2.0 is found at each of its 58 places and nowhere else")
    func places() throws {
        let twin = try Twin(FrameRow(name: "places"))
        for length in [64, 65, 71, 100, 300] {
            for place in 0...(length - 7) {
                for filler in [UInt8(0x41), 0x53, 0x2f, 0x30, 0] {
                    var payload = [UInt8](repeating: filler, count: length)
                    payload.replaceSubrange(place..<place + 7, with: Array("SIP/2.0".utf8))
                    try twin.expect(place <= 57 ? .passed : .malformed, of: sipFrame(payload))
                }
            }
        }
    }

    @Test("a payload that ends within SIP/2.0 does not hold it")
    func cutVersion() throws {
        let twin = try Twin(FrameRow(name: "cut"))
        for place in 20...57 {
            for shown in 1...7 {
                let payload = [UInt8](repeating: 0x20, count: place) + Array("SIP/2.0".utf8.prefix(shown))
                try twin.expect(shown == 7 ? .passed : .malformed, of: sipFrame(payload))
                // The rest of it stands in the padding.
                let padding = Array("SIP/2.0".utf8.dropFirst(shown))
                try twin.expect(shown == 7 ? .passed : .malformed, of: sipFrame(payload) + padding)
            }
        }
    }

    @Test("UDP lengths are numbers: each from 0 to 1472 of a blocked source")
    func lengths() throws {
        var row = FrameRow(name: "lengths")
        row.blocked = [IPPrefix(ipv4: 0xc000_0201)]
        let twin = try Twin(row)
        for length in 0...1472 {
            var frame = sipFrame([UInt8](repeating: 0x41, count: max(0, length - 8)))
            frame[38] = UInt8(length >> 8)
            frame[39] = UInt8(length & 255)
            try twin.expect(length < 8 ? .ignored : .blocked, of: frame)
        }
    }

    @Test("the size that the issue allows: 2 000 verified instructions, 2 KB of machine code")
    func size() throws {
        let program = try ProgramInstance().program
        #expect(program.verifiedInstructions > 0 && program.verifiedInstructions <= 2000)
        #expect(program.jittedSize > 0 && program.jittedSize <= 2048)
    }

    @Test("names, types and sizes of the public maps are those of the ABI")
    func maps() throws {
        let object = try LoadedObject.edge(path: nil)
        let types: [PublicMap: UInt32] = [.xsks: 17, .allowedIPs: 1, .blockedIPs: 1, .counters: 6]  // enum bpf_map_type
        for public_ in PublicMap.allCases {
            let map = try object.map(public_.name)
            #expect(map.type == types[public_])
            #expect(map.keySize == public_.keySize)
            #expect(map.valueSize == public_.valueSize)
            #expect(map.capacity == public_.defaultCapacity)
        }
        #expect(PublicMap.allCases.map(\.name) == ["xsks_map", "allowed_ips", "blocked_ips", "xdp_counters"])
        #expect(PublicMap.allCases.map(\.defaultCapacity) == [64, 256, 1024, 6])
        #expect(Reason.counted.map(\.id).sorted() == [0, 1, 2, 3, 4, 5])
        #expect(
            [Reason.optionsDropped, .redirected, .passed, .blocked, .malformed, .rateLimited].map(\.id) == [
                0, 1, 2, 3, 4, 5,
            ])
    }
}
