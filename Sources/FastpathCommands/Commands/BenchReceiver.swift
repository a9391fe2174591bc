// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathBench
import FastpathCore

/// For `bench`: the process that receives.
struct BenchReceiver: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-receiver",
        abstract: "Receive and count in shared memory, until it is killed.",
        shouldDisplay: false)

    @OptionGroup var common: CommonOptions

    @Argument(help: "How.")
    var method: ReceiveMethod

    @Argument(help: "The interface.")
    var iface: String

    @Argument(help: "So many workers.")
    var workers: Int

    @Argument(help: "The file to count in.")
    var path: String

    @Argument(help: "The CPU that sends.")
    var cpu: Int

    func validate() throws {
        if !(1...64).contains(workers) || cpu < 0 { throw ValidationError("give 1 to 64 workers and a CPU") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        try ReceiveWorkers(method, interface: iface, count: workers, sharing: path)
            .run(instance: context.instance, without: cpu)
        return .failed
    }
}

extension ReceiveMethod: ExpressibleByArgument {}
