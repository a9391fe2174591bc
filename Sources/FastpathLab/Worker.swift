// SPDX-License-Identifier: Apache-2.0
import CFastpathLab
import FastpathCore
import FastpathKernel
import Glibc
import Synchronization

/// A thread of its own for work that blocks, is pinned to a CPU or enters another network namespace:
/// the threads of Swift's concurrency are shared and come and go.
public final class Worker<Result: Sendable>: Sendable {
    private let outcome = Mutex<Swift.Result<Result, Failure>?>(nil)
    private let stopping = Atomic<Bool>(false)
    private let finished = Semaphore()

    /// Starts the thread. `body` is told through its argument when ``stop()`` was called, and ends early then.
    public init(_ body: @escaping @Sendable (_ isStopping: @escaping @Sendable () -> Bool) throws(Failure) -> Result)
        throws(Failure)
    {
        try Thread.start {
            let result: Swift.Result<Result, Failure>
            do throws(Failure) {
                result = .success(try body { self.stopping.load(ordering: .relaxed) || Interruption.isRequested })
            } catch {
                result = .failure(error)
            }
            self.outcome.withLock { $0 = result }
            self.finished.signal()
        }
    }

    /// Asks the body to end; returns at once.
    public func stop() { stopping.store(true, ordering: .relaxed) }

    /// Is there an outcome?
    public var isFinished: Bool { outcome.withLock { $0 != nil } }

    /// Waits for the end and gives what the body returned or threw.
    public func join() throws(Failure) -> Result {
        while true {
            if let result = outcome.withLock({ $0 }) { return try result.get() }
            finished.wait()
            finished.signal()  // for others who wait, and for the next call
        }
    }
}

/// Threads without Foundation.
enum Thread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts a detached thread.
    static func start(_ body: @escaping @Sendable () -> Void) throws(Failure) {
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(Body(body)).toOpaque()
        let code = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, argument)
        guard code == 0 else {
            Unmanaged<Body>.fromOpaque(argument).release()
            throw systemFailure(code, "start a thread", on: "pthread_create")
        }
        pthread_detach(thread)
    }

    /// Binds the calling thread to one CPU.
    static func pin(toCPU cpu: Int) throws(Failure) {
        try check(
            fastpath_lab_pin_thread(UInt32(clamping: cpu)), "pin a thread", on: "CPU \(cpu)",
            next: "Choose a CPU that exists: 0 to \(sysconf(Int32(_SC_NPROCESSORS_ONLN)) - 1).")
    }
}

/// A counting semaphore (sem_init(3)).
final class Semaphore: @unchecked Sendable {
    private let storage = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(storage, 0, 0) }

    deinit {
        sem_destroy(storage)
        storage.deallocate()
    }

    func signal() { sem_post(storage) }

    func wait() {
        while sem_wait(storage) != 0 && errno == EINTR {}
    }
}
