// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore

/// Who reads the sockets, with the names of the processes.
struct SocketsReport {
    var consumers: EdgeConsumers
    /// Of those that could be told.
    var names: [UInt32: String] = [:]

    init(_ consumers: EdgeConsumers, _ processes: ProcessNames) {
        self.consumers = consumers
        for process in Set(consumers.rows.flatMap { $0.consumers.queues.flatMap(\.processes) }) {
            names[process] = processes.name(process)
        }
    }

    /// What is left of it when no program is there.
    static func nothing(_ last: SocketsReport) -> SocketsReport {
        var nothing = last
        nothing.consumers.rows = []
        return nothing
    }

    /// How long a reader may be silent, for people.
    static let limit = "\(Format.decimal(Double(RegisteredConsumer.beatLimit) / 1_000_000, places: 0)) s"

    // MARK: Text

    func lines(colour: Bool) -> [String] {
        lines(
            colour: colour, redirected: { "\(Format.count($0.counters[.redirected])) redirected" }, number: { $0 },
            format: { Format.count($0) })
    }

    /// `redirected`: what to say of the program's counter; `number`: what to show of a queue, as totals or since the
    /// last look; `format`: one of its numbers.
    func lines(
        colour: Bool, redirected: (EdgeConsumers.Row) -> String, number: (_ queue: QueueNumbers) -> QueueNumbers,
        format: (UInt64) -> String
    ) -> [String] {
        var lines: [String] = []
        for row in consumers.rows {
            if !lines.isEmpty { lines.append("") }
            let head = Styled(row.edge.label, .bold).rendered(colour: colour) + "  " + row.consumers.summary
            guard row.consumers.isOfInterest else {
                lines.append(head)
                continue
            }
            lines.append("\(head); \(redirected(row))")
            if !row.consumers.isAsked { lines.append("  " + Self.notAsked) }
            lines += table(row, number, format).lines(colour: colour)
            lines += remarks(row, number, format).map { "  " + $0 }
        }
        return lines
    }

    /// The switch is off.
    private static let notAsked =
        "The switch \(FilterSwitch.consumers.name) is off: whatever there is a socket for is redirected, read or not."

    private func table(
        _ row: EdgeConsumers.Row, _ number: (QueueNumbers) -> QueueNumbers, _ format: (UInt64) -> String
    ) -> Table {
        var table = Table(
            [
                .right("QUEUE"), .left("READER"), .right("DELIVERED"), .right("BY KERNEL"), .right("HANDED BACK"),
                .right("DROPPED"), .right("NOT TAKEN"), .right("WAKEUPS"), .right("RING"),
            ], indent: 2)
        for (queue, state) in zip(row.consumers.queues, row.consumers.states()) {
            let shown = number(QueueNumbers(row.edge.interface, queue))
            var cells = [Styled("\(queue.queue)"), Styled(state.text, state.style)]
            cells += [
                shown[.delivered], shown[.byKernel], shown[.handedBack], shown.dropped, shown.notTaken, shown[.wakeups],
            ].map { Styled(queue.beat == 0 ? "-" : format($0)) }
            cells.append(Styled(queue.ringSize == 0 ? "-" : "\(queue.ringReady) of \(Format.count(queue.ringSize))"))
            table.add(cells)
        }
        return table
    }

    /// What does not fit into columns: reasons, rings, addresses, processes.
    private func remarks(
        _ row: EdgeConsumers.Row, _ number: (QueueNumbers) -> QueueNumbers, _ format: (UInt64) -> String
    ) -> [String] {
        var lines: [String] = []
        for queue in row.consumers.queues {
            let shown = number(QueueNumbers(row.edge.interface, queue))
            for count in QueueNumbers.drops + [.sent] where shown[count] > 0 {
                lines.append("queue \(queue.queue): \(format(shown[count])) \(count.label)")
            }
            for refusal in RegisteredConsumer.Refusal.allCases where shown.refused[refusal, default: 0] > 0 {
                let packets = format(shown.refused[refusal, default: 0])
                lines.append("queue \(queue.queue): \(packets) not taken: \(refusal.label)")
            }
        }
        let readers = row.consumers.queues.filter { $0.beat != 0 }
        lines += Self.shared(readers) { "rings: \($0.ringText)" }
        lines += Self.shared(readers) { queue in
            queue.endpoints.isEmpty
                ? "endpoints: none" : "endpoints: " + queue.endpoints.map(\.text).joined(separator: ", ")
        }
        lines += Self.shared(readers) { queue in
            let texts = queue.processes.sorted().map { "\($0)" + (names[$0].map { " (\($0))" } ?? "") }
            return "processes: " + (texts.isEmpty ? "none has waited yet" : texts.joined(separator: ", "))
        }
        return lines
    }

    /// One line where all queues say the same, else one each.
    private static func shared(_ queues: [QueueConsumer], _ text: (QueueConsumer) -> String) -> [String] {
        let texts = queues.map(text)
        if Set(texts).count <= 1 { return Array(texts.prefix(1)) }
        return zip(queues, texts).map { "queue \($0.queue): \($1)" }
    }

    // MARK: JSON

    var json: JSONValue { json { _ in [] } }

    /// `more`: members beside those of a queue.
    func json(_ more: (QueueNumbers) -> [JSONValue.Member]) -> JSONValue {
        [
            "interfaces": .array(
                consumers.rows.map { row in
                    [
                        "name": .string(row.edge.label), "redirected": .number(row.counters[.redirected]),
                        "queues": .number(row.consumers.queues.count), "taken": .number(row.consumers.taken),
                        "asked": .bool(row.consumers.isAsked),
                        "sockets": .array(
                            zip(row.consumers.queues, row.consumers.states()).map { queue, state in
                                json(queue, state, more(QueueNumbers(row.edge.interface, queue)))
                            }),
                    ]
                })
        ]
    }

    private func json(
        _ queue: QueueConsumer, _ state: QueueConsumer.State, _ more: [JSONValue.Member]
    ) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init(key: "queue", value: .number(queue.queue)), .init(key: "socket", value: .bool(queue.hasSocket)),
            .init(key: "state", value: .string(state.name)),
            .init(key: "beat_age_ms", value: state.age.map { .number($0 / 1_000) } ?? .null),
        ]
        members += ConsumerCount.allCases.map { .init(key: $0.name, value: .number(queue.counts[$0, default: 0])) }
        members += RegisteredConsumer.Refusal.allCases.map {
            .init(key: $0.rawValue, value: .number(queue.refused[$0, default: 0]))
        }
        members += [
            .init(key: "ring_ready", value: .number(queue.ringReady)),
            .init(key: "ring_size", value: .number(queue.ringSize)),
            .init(key: "longest", value: .number(queue.longest)),
            .init(key: "zero_copy", value: .bool(queue.isZeroCopy)),
            .init(key: "transmits", value: .bool(queue.transmits)),
            .init(key: "endpoints", value: .array(queue.endpoints.map { .string($0.text) })),
            .init(
                key: "processes",
                value: .array(
                    queue.processes.sorted().map { ["pid": .number($0), "name": .optional(names[$0])] })),
        ]
        return .object(members + more)
    }
}

/// What a queue counts, or counted since another look.
struct QueueNumbers: Hashable {
    /// Which queue.
    var interface: InterfaceID
    var queue: Int
    var counts: [ConsumerCount: UInt64]
    var refused: [RegisteredConsumer.Refusal: UInt64]

    /// What the library throws away, in order of display.
    static let drops: [ConsumerCount] = [.badChecksum, .badFormat, .ringFull]

    init(_ interface: InterfaceID, _ queue: QueueConsumer) {
        self.interface = interface
        self.queue = queue.queue
        counts = queue.counts
        refused = queue.refused
    }

    subscript(_ count: ConsumerCount) -> UInt64 { counts[count, default: 0] }
    var dropped: UInt64 { Self.drops.reduce(0) { $0 + self[$1] } }
    /// Left to the kernel by the program.
    var notTaken: UInt64 { refused.values.reduce(0, +) }

    /// What came since `earlier`; a number that went back began anew.
    static func - (later: QueueNumbers, earlier: QueueNumbers) -> QueueNumbers {
        var difference = later
        difference.counts = later.counts.merging(earlier.counts) { $0 >= $1 ? $0 - $1 : $0 }
        difference.refused = later.refused.merging(earlier.refused) { $0 >= $1 ? $0 - $1 : $0 }
        return difference
    }
}

extension QueueConsumer.State {
    /// For programs.
    var name: String {
        switch self {
        case .none: "none"
        case .unregistered: "unregistered"
        case .alive: "alive"
        case .silent: "silent"
        case .gone: "gone"
        }
    }

    /// Microseconds since the last beat.
    var age: Int64? {
        switch self {
        case .none, .unregistered: nil
        case .alive(let age), .silent(let age), .gone(let age): age
        }
    }

    /// "alive", "silent 12 s".
    var text: String {
        switch self {
        case .none: "-"
        case .unregistered: "unregistered"
        case .alive: "alive"
        case .silent, .gone: "\(name) \(Self.seconds(age ?? 0))"
        }
    }

    var style: Style? {
        switch self {
        case .none: nil
        case .unregistered: .yellow
        case .alive: .green
        case .silent: .red
        case .gone: .yellow
        }
    }

    private static func seconds(_ micros: Int64) -> String {
        let seconds = micros / 1_000_000
        return switch seconds {
        case ..<120: "\(seconds) s"
        case ..<7_200: "\(seconds / 60) min"
        case ..<172_800: "\(seconds / 3_600) h"
        default: "\(seconds / 86_400) d"
        }
    }
}

extension InterfaceConsumers {
    /// Is there, or was there, a socket?
    var isOfInterest: Bool { states().contains { $0 != .none } }

    /// "AF_XDP: 2 of 4 queues taken, alive".
    var summary: String {
        let text = "AF_XDP: \(taken) of \(Format.plural(queues.count, "queue")) taken"
        guard taken > 0 else { return text }
        if silent > 0 { return "\(text), \(silent == taken ? "silent" : "\(silent) silent")" }
        let unregistered = states().count { $0 == .unregistered }
        if unregistered == 0 { return "\(text), alive" }
        return "\(text), \(unregistered == taken ? "unregistered" : "\(unregistered) unregistered")"
    }
}

extension RegisteredConsumer.Refusal {
    /// Why, for people.
    var label: String {
        switch self {
        case .stale: "the reader was silent"
        case .tooLong: "longer than a frame of the ring"
        case .unwanted: "for an address and port that no reader has registered"
        }
    }
}

extension QueueConsumer {
    fileprivate var ringText: String {
        "\(Format.count(ringSize)) frames of up to \(Format.count(longest)) bytes, \(isZeroCopy ? "zero-copy" : "copy mode")"
            + (transmits ? ", sends by a ring too" : "")
    }
}

extension UDPEndpoint {
    /// `192.0.2.1:5060`, `[2001:db8::1]:5060`
    var text: String { address.family == .ipv4 ? "\(address):\(port)" : "[\(address)]:\(port)" }
}
