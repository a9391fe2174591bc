// SPDX-License-Identifier: Apache-2.0
import CPreload

/// Lines for the operator: to standard error, or where VOS_FASTPATH_LOG says: a file's path; `off` for nowhere.
struct Log: ~Copyable {
    private var bytes = InlineArray<1024, UInt8>(repeating: 0)
    private var count = 0

    init(_ text: StaticString) {
        add("vos-fastpath: ")
        add(text)
    }

    mutating func add(_ text: StaticString) { add(UnsafeRawPointer(text.utf8Start), text.utf8CodeUnitCount) }

    /// A C string, or "-" for none.
    mutating func add(cString text: UnsafePointer<CChar>?) {
        if let text { add(UnsafeRawPointer(text), strlen(text)) } else { add("-") }
    }

    mutating func add(_ number: Int) {
        if number < 0 { add("-") }
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var rest = number.magnitude
        var place = 20
        repeat {
            place -= 1
            digits[place] = UInt8(48 + rest % 10)
            rest /= 10
        } while rest > 0
        for index in place..<20 { add(byte: digits[index]) }
    }

    mutating func add(reason code: Int32) { add(cString: strerror(code)) }

    private mutating func add(_ text: UnsafeRawPointer, _ length: Int) {
        for index in 0..<length { add(byte: text.load(fromByteOffset: index, as: UInt8.self)) }
    }

    private mutating func add(byte: UInt8) {
        // The last place is the line's end.
        guard count < 1023 else { return }
        bytes[count] = byte
        count += 1
    }

    consuming func write() {
        let name = getenv("VOS_FASTPATH_LOG")
        if let name, strcmp(name, "off") == 0 { return }
        bytes[count] = 0x0a
        var file: Int32 = 2
        // "1" and "stderr" say what is so anyway.
        if let name, name.pointee == 0x2f /* / */ {
            file = fastpath_append_to(name)
        }
        let length = count + 1
        var bytes = bytes
        withUnsafeBytes(of: &bytes) { _ = CPreload.write(file, $0.baseAddress, length) }
        if file > 2 { _ = fastpath_close(file) }
    }
}
