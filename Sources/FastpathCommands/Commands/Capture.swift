// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore
import FastpathKernel
import FastpathLab

struct Capture: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture",
        abstract: "Write whole frames to a pcapng file, each with the reason for what became of it.",
        discussion: """
            What the program drops never reaches tcpdump; this sees it. The reason stands in the packet's comment, \
            which Wireshark and tshark show (frame.comment). Without --reason, all that is dropped, or would be in dry \
            run. Ctrl-C ends; the file is whole then.

            Examples:
              vos-fastpath capture -w dropped.pcapng --packets 100
              vos-fastpath capture -w - --reason malformed | tshark -r - -T fields -e frame.comment -e ip.src
            """)

    @OptionGroup var common: CommonOptions

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The file; - for standard output.", valueName: "file"),
        completion: .file(extensions: ["pcapng"]))
    var write: String

    @Option(
        help: ArgumentHelp(
            "Only this reason: \(Reason.counted.map(\.name).joined(separator: ", ")). May be repeated.",
            valueName: "reason"))
    var reason: [String] = []

    @Option(help: ArgumentHelp("End after so many packets.", valueName: "n"))
    var packets: Int?

    @Option(help: ArgumentHelp("End after so many seconds.", valueName: "n"))
    var seconds: Int?

    @Option(help: ArgumentHelp("At most so many packets a second.", valueName: "n"))
    var rate = 1_000

    @Argument(help: "The interface (default: all that filter).", completion: .interfaces)
    var iface: String?

    func validate() throws {
        if packets ?? 1 < 1 || seconds ?? 1 < 1 || rate < 1 {
            throw ValidationError("--packets, --seconds and --rate must be 1 or more")
        }
    }

    /// More than any frame has: a perf buffer's record is shorter than 64 KB.
    private static let length = 65_000

    func run(_ context: Context) throws(Failure) -> Outcome {
        let reasons = try SampleChoice(reason).reasons
        Interruption.install()
        var stream = try SampleStream(
            context, interface: iface, SampleRequest(reasons: reasons, perSecond: rate, length: Self.length))
        let writer = try PcapngWriter(path: write, snapLength: Self.length)
        let end = seconds.map { ContinuousClock.now + .seconds($0) }
        var written = 0
        while !Interruption.isRequested, written < packets ?? .max, end.map({ .now < $0 }) ?? true {
            for named in try stream.next() where written < packets ?? .max {
                let sample = named.sample
                let comment = sample.wouldBe.map { "\($0.name) (dry run)" } ?? sample.reason.name
                try writer.write(
                    frame: sample.frame, length: sample.length, time: wallTime(ofBootMicroseconds: sample.time),
                    interface: named.interface, comment: comment)
                written += 1
            }
        }
        report(written, lost: Int(stream.lost), context.output)
        return .done
    }

    private func report(_ written: Int, lost: Int, _ output: Output) {
        // Standard output may be the capture itself.
        if write == "-" {
            output.note("\(Format.plural(written, "packet")) written, \(lost) lost")
        } else if output.isJSON {
            output.json(["file": .string(write), "packets": .number(written), "lost": .number(lost)])
        } else {
            output.line("\(write): \(Format.plural(written, "packet")) written, \(lost) lost")
        }
    }
}
