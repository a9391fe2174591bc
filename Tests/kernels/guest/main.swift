// SPDX-License-Identifier: Apache-2.0
// Runs inside a kernel that Tests/kernels/run has booted, as its first program but one, with nothing but what that put
// beside it. Says what it finds, one JSON object a line; the last says that it came to its end.
import Glibc

for check in Check.all { report(check.name, check.run()) }
say(#"{"check":"end"}"#)

/// At once, whatever stands in buffers when the machine goes.
func say(_ line: String) {
    let bytes = Array("\(line)\n".utf8)
    write(STDOUT_FILENO, bytes, bytes.count)
}

/// Two shapes, for people have none to read: Tests/kernels/run makes the table.
func report(_ name: String, _ outcome: Check.Outcome) {
    let (result, text) =
        switch outcome.result {
        case .passed(let text): ("passed", text)
        case .failed(let text): ("failed", text)
        case .impossible(let text): ("impossible", text)
        }
    let milliseconds = Int(outcome.duration / .milliseconds(1))
    say(#"{"check":"\#(name)","result":"\#(result)","ms":\#(milliseconds),"text":"\#(escaped(text))"}"#)
}

/// As a JSON string; the verifier's lines stay lines.
func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case _ where scalar.value < 32: result += " "
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}
