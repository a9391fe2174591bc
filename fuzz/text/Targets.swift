// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

@testable import FastpathCommands

/// The readers of text and files that others write. Each takes any bytes; it must come back, and what it read must
/// hold what is said here. A trap is a crash.
enum Target: String, CaseIterable {
    case prefix, feed, config, json, capture, options

    func run(_ bytes: [UInt8]) {
        switch self {
        case .prefix: Self.prefix(bytes)
        case .feed: Self.feed(bytes)
        case .config: Self.config(bytes)
        case .json: Self.json(bytes)
        case .capture: Self.capture(bytes)
        case .options: Self.options(bytes)
        }
    }

    /// What is printed is read as the same.
    private static func prefix(_ bytes: [UInt8]) {
        guard let prefix = bytes.withUnsafeBytes({ try? IPPrefix(parsing: $0) }) else { return }
        let again = Array(prefix.description.utf8).withUnsafeBytes { try? IPPrefix(parsing: $0) }
        precondition(again == prefix, "\(prefix) is read as \(String(describing: again))")
    }

    /// Every line is an address, one more of it, bad or empty; what is printed is read as the same list.
    private static func feed(_ bytes: [UInt8]) {
        for addressesOnly in [false, true] {
            let list = AddressList(parsing: bytes, addressesOnly: addressesOnly)
            let lines = bytes.count { $0 == 0x0a } + 1
            precondition(list.prefixes.count + list.duplicates + list.badLines.count <= lines)
            precondition(Set(list.prefixes).count == list.prefixes.count)
            for bad in list.badLines {
                precondition((1...lines).contains(bad.number) && bad.text.utf8.count <= 300 && !bad.reason.isEmpty)
                precondition(bad.text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f })
            }
            let text = list.prefixes.map { "\($0)\n" }.joined()
            let again = AddressList(parsing: Array(text.utf8), addressesOnly: addressesOnly)
            precondition(again.prefixes == list.prefixes && again.badLines.isEmpty)
        }
    }

    /// An error names the file and a line that is there; what is read is within its bounds.
    private static func config(_ bytes: [UInt8]) {
        do throws(Failure) {
            let configuration = try Configuration(parsing: bytes, name: "fuzz.toml")
            let settings = configuration.settings
            precondition(FilterSettings.firstLineLimits.contains(settings.firstLineLimit))
            precondition(!settings.ports.contains(0))
            precondition(FilterSettings(abi: settings.abi(secret: 0)) == settings, "\(settings)")
        } catch {
            precondition(error.subject.contains("fuzz.toml"), "\(error)")
            precondition(!error.reason.isEmpty && !error.next.isEmpty)
        }
    }

    /// What is written is read as the same.
    private static func json(_ bytes: [UInt8]) {
        guard let value = try? JSONValue(parsing: String(decoding: bytes, as: UTF8.self)) else { return }
        let text = value.encoded
        guard let again = try? JSONValue(parsing: text) else { preconditionFailure("not read again: \(text)") }
        // Numbers may change their kind (1e3 to 1000.0), but only once.
        precondition(again.encoded == text, text)
    }

    /// Packets are as long as they say; each is summed up as `explain` prints it.
    private static func capture(_ bytes: [UInt8]) {
        guard let path = NamelessFile.write(bytes), let file = try? CaptureFile(path: path) else { return }
        for number in 1...1000 {
            guard let packet = try? file.next() else { return }
            precondition(packet.number == number && packet.capturedLength >= 0)
            precondition(packet.frame.count <= packet.capturedLength + 12)
            let summary = FrameSummary(packet.frame)
            precondition((summary.firstLine ?? "").unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f })
            var filter = ReferenceFilter(settings: .carrier)
            _ = filter.judge(packet.frame)
        }
    }

    /// An answer stays in its room, is a response with nothing behind its header, and the same each time.
    private static func options(_ bytes: [UInt8]) {
        let source = UDPEndpoint(IPPrefix(ipv4: 0xc000_0209), 40_000)
        func answer() -> (OptionsAnswer.Result, [UInt8]) {
            // A guard behind the room.
            var room = [UInt8](repeating: 0xa5, count: 1_500)
            let result = bytes.withUnsafeBytes { request in
                room.withUnsafeMutableBytes {
                    OptionsAnswer(secret: 7).write(
                        to: request, from: source, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<1_400]))
                }
            }
            precondition(room[1_400...].allSatisfy { $0 == 0xa5 })
            return (result, room)
        }
        let (result, room) = answer()
        guard case .answer(let length, let port) = result else { return }
        precondition((1...1_400).contains(length) && port != 0)
        let text = room[..<length]
        precondition(text.starts(with: "SIP/2.0 200 OK\r\n".utf8))
        let end = Array("Allow: OPTIONS\r\nContent-Length: 0\r\n\r\n".utf8)
        precondition(text.suffix(end.count).elementsEqual(end))
        precondition(!text.contains(0))
        let again = answer()
        precondition(again.0 == result && again.1 == room)
    }
}

/// One file without a name, written anew each time: CaptureFile opens paths.
private enum NamelessFile {
    private static let descriptor = {
        var path = Array("/dev/shm/fastpath-fuzz-XXXXXX".utf8CString)
        let descriptor = mkstemp(&path)
        unlink(path)
        return descriptor
    }()

    static func write(_ bytes: [UInt8]) -> String? {
        guard descriptor >= 0, ftruncate(descriptor, 0) == 0, pwrite(descriptor, bytes, bytes.count, 0) == bytes.count
        else { return nil }
        return "/proc/self/fd/\(descriptor)"
    }
}
