// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Support

/// One thing that must hold under a kernel.
struct Check: Sendable {
    /// The column of the table.
    var name: String
    /// Throws where it does not hold; returns what was done, or why this kernel cannot have it.
    var body: @Sendable () throws -> Result

    enum Result {
        case passed(String)
        case failed(String)
        /// This kernel lacks what the check is about; the text names it.
        case impossible(String)
    }

    struct Outcome {
        var result: Result
        var duration: Duration
    }

    func run() -> Outcome {
        let start = ContinuousClock.now
        let result: Result
        do {
            result = try body()
        } catch let failure as Failure {
            result = .failed("\(failure)\n\(failure.details ?? "")")
        } catch {
            result = .failed("\(error)")
        }
        return Outcome(result: result, duration: ContinuousClock.now - start)
    }

    static let all =
        ["classic", "carrier"].flatMap { profile in
            [
                Check(name: "load_\(profile)") { try load(profile) },
                Check(name: "verdicts_\(profile)") { try verdicts(profile) },
                Check(name: "buffers_\(profile)") { try buffers(profile) },
                Check(name: "native_\(profile)") {
                    try BareWire.isNeeded ? BareWire.native(profile) : Wire.native(profile)
                },
            ]
        } + [
            Check(name: "verdicts_policy") { try verdicts("policy") },
            Check(name: "raw_object") {
                try BareWire.isNeeded ? BareWire.rawObject() : Wire.rawObject()
            },
            Check(name: "commands") { try Wire.commands() },
            Check(name: "jumbo") { try Wire.jumbo() },
        ]

    static func settings(_ profile: String) -> FilterSettings { profile == "classic" ? .classic : .carrier }

    // MARK: Loading

    /// The profile as it is and, as the verifier walks another program then, with each of its switches turned over.
    private static func load(_ profile: String) throws -> Result {
        let base = settings(profile)
        let program = try ProgramInstance(settings: base).program
        for filterSwitch in FilterSwitch.allCases {
            var settings = base
            settings.switches.formSymmetricDifference([filterSwitch])
            _ = try ProgramInstance(settings: settings)
        }
        return .passed(
            "with \(FilterSwitch.allCases.count) switches turned over; \(program.verifiedInstructions) instructions verified"
        )
    }

    // MARK: Verdicts

    /// Every row of the profile's table, its frame in one buffer.
    private static func verdicts(_ profile: String) throws -> Result {
        try judge(rows(profile)) { row in [nil] }
    }

    /// The same rows with the first buffer cut at places that lie within each header, and within the payload.
    private static func buffers(_ profile: String) throws -> Result {
        // BPF_F_XDP_HAS_FRAGS and bpf_xdp_load_bytes: such a kernel gives the program no frame of several buffers.
        guard !kernelIsOlder(than: (5, 18)) else {
            return .impossible("before Linux 5.18 a frame has one buffer: no payload lies in a later one")
        }
        return try judge(rows(profile)) { row in
            [14, 20, 34, 38, 42, 50, 62, 80, 106, 400].filter { $0 < row.frame.count }
        }
    }

    private static func rows(_ profile: String) throws -> [FrameRow] {
        try FrameRow.read(path: "/fixtures/\(profile).txt")
    }

    /// Runs each row's frame, once for each length of the first buffer (nil: all of the frame).
    private static func judge(_ rows: [FrameRow], _ cuts: (FrameRow) -> [Int?]) throws -> Result {
        var loaded: [Conditions: RowProgram] = [:]
        var wrong: [String] = []
        var frames = 0
        for row in rows {
            let conditions = Conditions(row)
            let program = try loaded[conditions] ?? RowProgram(row)
            loaded[conditions] = program
            for linear in cuts(row) {
                let answer = try row.frame.withUnsafeBytes { try program.instance.judge(frame: $0, linear: linear) }
                frames += 1
                if answer.verdict != row.verdict || answer.reason != row.reason {
                    wrong.append(
                        "\(row.name)\(linear.map { ", \($0) bytes in the first buffer" } ?? ""): "
                            + "\(answer.verdict.name) \(answer.reason), not \(row.verdict.name) \(row.reason)")
                }
            }
        }
        guard wrong.isEmpty else {
            return .failed((["\(wrong.count) of \(frames) frames"] + wrong).joined(separator: "\n"))
        }
        guard frames >= 80 else { return .failed("only \(frames) frames: the table is not there") }
        return .passed("\(frames) frames, \(loaded.count) programs")
    }

    /// Rows with the same of these can share a program.
    private struct Conditions: Hashable {
        var row: FrameRow

        init(_ row: FrameRow) {
            self.row = row
            (self.row.name, self.row.frame) = ("", [])
        }

        static func == (left: Conditions, right: Conditions) -> Bool {
            left.row.settings == right.row.settings && left.row.blocked == right.row.blocked
                && left.row.allowed == right.row.allowed && left.row.policy == right.row.policy
                && left.row.hasSocket == right.row.hasSocket
        }

        func hash(into hasher: inout Hasher) {
            hasher.combine(row.settings)
            hasher.combine(row.blocked)
            hasher.combine(row.allowed)
            hasher.combine(row.policy)
            hasher.combine(row.hasSocket)
        }
    }
}
