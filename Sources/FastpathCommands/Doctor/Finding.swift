// SPDX-License-Identifier: Apache-2.0

/// The answer of one check of `doctor`.
struct Finding: Hashable {
    enum Grade: String {
        case ok
        /// It works, but less well than it could, or it could not be seen.
        case warn
        /// The edge cannot run.
        case fail
    }

    /// What was looked at: one or two words.
    var check: String
    var grade: Grade
    /// What was found.
    var detail: String
    /// What to do; empty where there is nothing to do.
    var advice: String

    static func ok(_ check: String, _ detail: String) -> Finding {
        Finding(check: check, grade: .ok, detail: detail, advice: "")
    }

    static func warn(_ check: String, _ detail: String, _ advice: String) -> Finding {
        Finding(check: check, grade: .warn, detail: detail, advice: advice)
    }

    static func fail(_ check: String, _ detail: String, _ advice: String) -> Finding {
        Finding(check: check, grade: .fail, detail: detail, advice: advice)
    }

    var json: JSONValue {
        [
            "check": .string(check), "result": .string(grade.rawValue), "detail": .string(detail),
            "advice": advice.isEmpty ? .null : .string(advice),
        ]
    }
}

extension Finding.Grade {
    var style: Style {
        switch self {
        case .ok: .green
        case .warn: .yellow
        case .fail: .alarm
        }
    }
}
