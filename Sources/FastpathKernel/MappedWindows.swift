// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Memory of a map, mapped a window at a time, each when something in it is asked for.
///
/// The kernel sets up every page of what is mapped, and takes each down again: 20 ms for the policy table of a million
/// entries, of which one change touches five pages.
struct MappedWindows {
    private let start: UnsafeMutableRawPointer
    private let count: Int
    private let isMapped: UnsafeMutablePointer<Bool>
    /// Of a window's size.
    private let shift: Int
    /// Whole pages.
    private let byteCount: Int
    private let fd: CInt

    struct Refused: Error {
        let code: CInt
    }

    /// Windows are of 1 MB, and so large that there are no more than this: a process may have some 65,000 mappings.
    private static let mostWindows = 1_024

    /// `fd` stays the caller's, who keeps it open.
    init(of fd: CInt, byteCount: Int) throws(Refused) {
        let page = Int(getpagesize())
        let length = max(page, (byteCount + page - 1) / page * page)
        var shift = 20
        while length >> shift >= Self.mostWindows { shift += 1 }
        guard let start = mmap(nil, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
            start != MAP_FAILED
        else { throw Refused(code: errno) }
        (self.start, self.shift, self.byteCount, self.fd) = (start, shift, length, fd)
        count = (length - 1) >> shift + 1
        isMapped = .allocate(capacity: count)
        isMapped.initialize(repeating: false, count: count)
        // Shows whether the map was made for it.
        let code = map(0)
        guard code == 0 else {
            unmap()
            throw Refused(code: code)
        }
    }

    func unmap() {
        munmap(start, byteCount)
        isMapped.deallocate()
    }

    /// Windows that have been asked for.
    var mappedCount: Int { (0..<count).count { isMapped[$0] } }

    /// All of it, mapped.
    var all: UnsafeMutableRawPointer {
        for window in 0..<count where !isMapped[window] { require(window) }
        return start
    }

    /// What is at `offset`, up to the next multiple of 1 MB.
    @inline(__always) func bytes(at offset: Int) -> UnsafeMutableRawPointer {
        if !isMapped[offset >> shift] { require(offset >> shift) }
        return start + offset
    }

    @inline(never) private func require(_ window: Int) {
        let code = map(window)
        // The map is there; what can lack is memory to map it with, as when the kernel ends processes to get some. A
        // change of the policy that is cut off here is repaired by the next command.
        guard code == 0 else { fatalError("a policy map cannot be mapped into memory: \(errorText(code))") }
    }

    /// 0, or why not.
    private func map(_ window: Int) -> CInt {
        let offset = window << shift
        let length = min(byteCount - offset, 1 << shift)
        guard mmap(start + offset, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset) != MAP_FAILED
        else { return errno }
        isMapped[window] = true
        return 0
    }
}
