// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import CFastpathABI
import FastpathAFXDP
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

struct Receive: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "receive",
        abstract: "Take good SIP by AF_XDP sockets and count it, or answer OPTIONS.",
        discussion: """
            To try AF_XDP on an interface that the edge is on: a socket on each of its receive queues. What it takes \
            does NOT reach the SIP server while it runs. Ctrl-C ends it, or --packets and --seconds: the sockets are \
            taken out, packets go to the server again, and the counts are printed.

            In profile carrier it takes datagrams to this host's addresses at --port; in classic all good SIP of the \
            queues.

            With --answer-options, OPTIONS gets 200 straight from the ring. Who may ask is the edge's affair: in both \
            profiles it lets OPTIONS through from allowed sources alone. What is malformed, or was sent to more than \
            this host, is counted and not answered.

            Examples:
              vos-fastpath receive eth0 --seconds 10
              vos-fastpath receive eth0 --queue 0 --answer-options
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("The UDP port.", valueName: "number"))
    var port = UInt16(FASTPATH_SIP_PORT)

    @Option(help: ArgumentHelp("Only this receive queue (default: all). May be repeated.", valueName: "number"))
    var queue: [UInt32] = []

    @Flag(help: "Answer OPTIONS with 200.")
    var answerOptions = false

    @Option(help: ArgumentHelp("End after so many packets; what has come by then counts too.", valueName: "n"))
    var packets: UInt64?

    @Option(help: ArgumentHelp("End after so many seconds.", valueName: "n"))
    var seconds: Int?

    @Argument(help: "The interface.", completion: .interfaces)
    var iface: String

    func validate() throws {
        if port == 0 { throw ValidationError("--port must be 1 to 65535") }
        if packets ?? 1 < 1 || seconds ?? 1 < 1 { throw ValidationError("--packets and --seconds must be 1 or more") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        try Host.requireReady()
        Interruption.install()
        let output = context.output
        let maps = try KernelEdges(instance: context.instance).socketMaps(of: iface)
        if !maps.filters(port: port) {
            output.warning("the edge on \(iface) does not filter port \(port): nothing will come")
        }
        var options = Receiver.Options()
        options.transmits = answerOptions
        let receiver = try Receiver(
            interface: iface, queues: queue.isEmpty ? nil : queue, maps: maps,
            endpoints: Receiver.endpoints(port: port), options: options)
        output.note(
            "\(iface): \(Format.plural(receiver.queues.count, "queue")), "
                + "\(receiver.isZeroCopy ? "zero-copy" : "copy mode"); packets do not reach the SIP server until this ends"
        )
        if !receiver.isSelective {
            output.warning("the edge on \(iface) redirects all good SIP of these queues, whoever it is for")
        }
        output.flush()
        let start = ContinuousClock.now
        var tally = ReceiveTally(answers: answerOptions ? OptionsAnswer(secret: .random(in: 1 ... .max)) : nil)
        try receive(receiver, &tally)
        let duration = ContinuousClock.now - start
        let report = ReceiveReport(
            interface: iface, duration: duration, isZeroCopy: receiver.isZeroCopy, tally: tally,
            queues: receiver.queues.enumerated().map { ($1, receiver.counts($0)) })
        receiver.close()
        if output.isJSON { output.json(report.json) } else { report.show(output) }
        return .done
    }

    private func receive(_ receiver: Receiver, _ tally: inout ReceiveTally) throws(Failure) {
        let start = ContinuousClock.now
        let end = seconds.map { start + .seconds($0) }
        var nextLook = start + .seconds(2)
        while !Interruption.isRequested, tally.packets < packets ?? .max {
            let now = ContinuousClock.now
            if let end, now >= end { break }
            if now >= nextLook {
                receiver.setEndpoints(try Receiver.endpoints(port: port))
                nextLook = now + .seconds(2)
            }
            if receiver.receive({ tally.see($0) }) == 0 { receiver.wait(milliseconds: 50) }
        }
        // Nothing more comes from here on; what has come is not lost.
        receiver.withdraw()
        var rounds = 0
        while receiver.receive({ tally.see($0) }) > 0, rounds < 1_000 { rounds += 1 }
    }
}

/// What came, while it comes; nothing in it grows.
struct ReceiveTally {
    /// Nil: nothing is answered.
    let answers: OptionsAnswer?
    private(set) var packets: UInt64 = 0
    /// By ``SIPMethod``'s number.
    private(set) var methods = [UInt64](repeating: 0, count: SIPMethod.allCases.count)
    /// OPTIONS by what became of them, where they are answered.
    private(set) var answered: UInt64 = 0
    private(set) var malformed: UInt64 = 0
    private(set) var unsupported: UInt64 = 0
    /// Sent to more than one host, or the ring was full.
    private(set) var unanswerable: UInt64 = 0

    init(answers: OptionsAnswer?) { self.answers = answers }

    mutating func see(_ packet: Packet) -> Receiver.Answer {
        packets &+= 1
        let method = SIPMethod(of: packet.payload)
        methods[Int(method.rawValue)] &+= 1
        guard let answers else { return .none }
        switch answers.write(to: packet.payload, from: packet.source, into: packet.room) {
        case .answer(let length, let port):
            answered &+= 1
            return .reply(length, port: port)
        case .notOptions: break
        case .malformed: malformed &+= 1
        case .unsupported: unsupported &+= 1
        case .tooLong: unanswerable &+= 1
        }
        return .none
    }
}

/// What `receive` says at its end.
struct ReceiveReport {
    var interface: String
    var duration: Duration
    var isZeroCopy: Bool
    var tally: ReceiveTally
    var queues: [(number: UInt32, counts: Receiver.Counts)]

    private var all: Receiver.Counts {
        queues.reduce(into: Receiver.Counts()) { sum, queue in
            sum.packets += queue.counts.packets
            sum.bytes += queue.counts.bytes
            sum.badFormat += queue.counts.badFormat
            sum.notUDP += queue.counts.notUDP
            sum.badChecksum += queue.counts.badChecksum
            sum.sent += queue.counts.sent
            sum.notSent += queue.counts.notSent
        }
    }

    func show(_ output: Output) {
        var table = Table([
            .left("QUEUE"), .right("PACKETS"), .right("BYTES"), .right("SENT"), .right("BAD FORMAT"), .right("NOT UDP"),
            .right("BAD CHECKSUM"),
        ])
        let rows = queues.map { ("\($0.number)", $0.counts) } + (queues.count > 1 ? [("all", all)] : [])
        for (name, counts) in rows {
            let numbers = [
                counts.packets, counts.bytes, counts.sent, counts.badFormat, counts.notUDP, counts.badChecksum,
            ]
            table.add([Styled(name)] + numbers.map { Styled(Format.count($0)) })
        }
        output.table(table)
        let methods = SIPMethod.allCases.filter { tally.methods[Int($0.rawValue)] > 0 }
        if !methods.isEmpty {
            output.line()
            var table = Table([.left("MESSAGE"), .right("PACKETS")])
            for method in methods {
                table.add([Styled(method.name), Styled(Format.count(tally.methods[Int(method.rawValue)]))])
            }
            output.table(table)
        }
        guard tally.answers != nil else { return }
        output.line()
        output.line(
            "OPTIONS answered \(Format.count(tally.answered - all.notSent)), malformed \(Format.count(tally.malformed)), "
                + "unsupported \(Format.count(tally.unsupported)), "
                + "not to be answered \(Format.count(tally.unanswerable + all.notSent))")
    }

    var json: JSONValue {
        [
            "interface": .string(interface), "seconds": .double(duration / .seconds(1)),
            "zero_copy": .bool(isZeroCopy),
            "packets": .number(all.packets), "bytes": .number(all.bytes),
            "queues": .array(
                queues.map { queue in
                    [
                        "queue": .number(Int(queue.number)), "packets": .number(queue.counts.packets),
                        "bytes": .number(queue.counts.bytes), "sent": .number(queue.counts.sent),
                        "not_sent": .number(queue.counts.notSent), "bad_format": .number(queue.counts.badFormat),
                        "not_udp": .number(queue.counts.notUDP), "bad_checksum": .number(queue.counts.badChecksum),
                    ]
                }),
            "messages": .object(
                SIPMethod.allCases.map { .init(key: $0.name, value: .number(tally.methods[Int($0.rawValue)])) }),
            "options": tally.answers == nil
                ? .null
                : [
                    "answered": .number(tally.answered - all.notSent), "malformed": .number(tally.malformed),
                    "unsupported": .number(tally.unsupported),
                    "not_to_be_answered": .number(tally.unanswerable + all.notSent),
                ],
        ]
    }
}
