// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// What a bench wrote down, read back from its JSON.
struct BenchResult {
    struct Figure: Hashable {
        var name: String
        /// As `FastpathBench.Unit` has it: "ns", "ms", "Mpps".
        var unit: String
        var rounds: Int
        var minimum: Double
        var median: Double
        var maximum: Double
    }

    struct Goal: Hashable {
        var figure: String
        /// The figure's median.
        var value: Double
        var isAtMost: Bool
        /// In the figure's unit.
        var limit: Double
        var isMet: Bool
    }

    /// In the bench's order; those without a sample are left out.
    var figures: [Figure] = []
    var goals: [Goal] = []
    var version: String
    /// UTC.
    var started: String
    var seconds: Double
    var isQuick: Bool
    var seed: String
    var cpu: String
    var processor: String
    var kernel: String
    var cores: String
    var load: [Double]

    private var numbers: [String: Int] = [:]
    private var goalNumbers: [String: Int] = [:]

    /// The version of the JSON that is read.
    static let schema = 1.0

    /// `name`: of the file, for messages.
    init(parsing text: String, name: String) throws(Failure) {
        let json: JSONValue
        do throws(JSONValue.SyntaxError) {
            json = try JSONValue(parsing: text)
        } catch {
            throw Self.failure(name, "it is no JSON: at byte \(error.offset) there should be \(error.expected)")
        }
        guard json["schema"]?.double == Self.schema, case .object(let members)? = json["figures"] else {
            throw Self.failure(name, "it is not what 'bench --output' writes")
        }
        version = json["version"]?.text ?? ""
        started = json["started"]?.text ?? ""
        seconds = json["seconds"]?.double ?? 0
        isQuick = json["quick"] == true
        seed = json["seed"]?.encoded ?? ""
        cpu = json["cpu"]?.encoded ?? ""
        let machine = json["machine"] ?? .null
        processor = machine["processor"]?.text ?? ""
        if processor.isEmpty { processor = machine["architecture"]?.text ?? "" }
        kernel = machine["kernel"]?.text ?? ""
        cores = machine["cores"]?.encoded ?? ""
        load = machine["load_average"]?.elements.compactMap(\.double) ?? []
        for member in members {
            guard let figure = Figure(member.key, member.value) else { continue }
            numbers[figure.name] = figures.count
            figures.append(figure)
        }
        for goal in (json["goals"]?.elements ?? []).compactMap(Goal.init) {
            goalNumbers[goal.figure] = goals.count
            goals.append(goal)
        }
    }

    /// Nil where it was not measured.
    func figure(_ name: String) -> Figure? { numbers[name].map { figures[$0] } }

    func goal(_ name: String) -> Goal? { goalNumbers[name].map { goals[$0] } }

    /// What stands between `prefix` and one of `suffixes` in the names of figures: each once, in the bench's order.
    func names(between prefix: String, and suffixes: [String]) -> [String] {
        var found: [String] = []
        for figure in figures where figure.name.hasPrefix(prefix) {
            for suffix in suffixes where figure.name.hasSuffix(suffix) {
                let name = String(figure.name.dropFirst(prefix.count).dropLast(suffix.count))
                if !name.isEmpty, !found.contains(name) { found.append(name) }
            }
        }
        return found
    }

    private static func failure(_ name: String, _ reason: String) -> Failure {
        Failure(
            tried: "read the figures of a bench", on: name, because: reason,
            next: "Make it anew: vos-fastpath bench --output \(name)")
    }
}

extension BenchResult.Figure {
    fileprivate init?(_ name: String, _ json: JSONValue) {
        guard let unit = json["unit"]?.text, let minimum = json["min"]?.double, let median = json["median"]?.double,
            let maximum = json["max"]?.double, let rounds = json["rounds"]?.double
        else { return nil }
        self.init(
            name: name, unit: unit, rounds: Int(rounds), minimum: minimum, median: median, maximum: maximum)
    }
}

extension BenchResult.Goal {
    fileprivate init?(_ json: JSONValue) {
        guard let figure = json["figure"]?.text, let value = json["value"]?.double, let limit = json["limit"]?.double,
            let relation = json["relation"]?.text, let met = json["met"]
        else { return nil }
        self.init(figure: figure, value: value, isAtMost: relation == "at_most", limit: limit, isMet: met == true)
    }
}

extension JSONValue {
    /// A number; nil for everything else.
    fileprivate var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .unsigned(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }
}
