// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

/// Where `libvosfastpath.so` is.
enum PreloadLibrary {
    static let name = "libvosfastpath.so"
    /// The environment variable that names it.
    static let variable = "VOS_FASTPATH_LIBRARY"

    /// The whole path of the library: the one that is named, else the first of ``places(beside:)``.
    static func find(named path: String?, command: String) throws(Failure) -> String {
        if let path, !path.isEmpty {
            guard let whole = wholePath(path) else {
                throw missing("\(variable) names a file that cannot be read: \(String(cString: strerror(errno)))", path)
            }
            return whole
        }
        let places = places(beside: command)
        for place in places {
            if let whole = wholePath(place) { return whole }
        }
        throw missing("it is in none of: \(places.joined(separator: ", "))", name)
    }

    /// Beside the command as `make` builds it; where `make install` and a package put it.
    static func places(beside command: String) -> [String] {
        let folder = command.lastIndex(of: "/").map { String(command[..<$0]) } ?? "."
        let above = folder.lastIndex(of: "/").map { String(folder[..<$0]) } ?? folder
        return ["\(folder)/\(name)", "\(above)/lib/vos-fastpath/\(name)", "/usr/lib/vos-fastpath/\(name)"]
    }

    private static func missing(_ reason: String, _ subject: String) -> Failure {
        Failure(
            .unsupported, tried: "find the library", on: subject, because: reason,
            next: "Build it with `make`, or say where it is: \(variable)=/PATH/\(name)")
    }

    private static func wholePath(_ path: String) -> String? {
        guard access(path, R_OK) == 0, let whole = realpath(path, nil) else { return nil }
        defer { free(whole) }
        return String(cString: whole)
    }
}

/// The whole path of the program that runs now.
func ownPath() throws(Failure) -> String {
    guard let path = realpath("/proc/self/exe", nil) else {
        let code = errno
        throw Failure(
            .system(errno: code), tried: "find the own program", on: "/proc/self/exe",
            because: String(cString: strerror(code)), next: "Mount /proc.")
    }
    defer { free(path) }
    return String(cString: path)
}
