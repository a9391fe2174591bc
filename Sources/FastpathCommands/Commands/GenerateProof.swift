// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore
import FastpathKernel
import Glibc

/// For the build: `make proof` puts what a bench measured into the documents.
struct GenerateProof: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate-proof",
        abstract: "Write PROOF.md and its pictures from the figures of a bench.",
        discussion: """
            Also writes the costs into PROFILES.md, where that is there. A picture whose figures are missing is left out, \
            and removed where it was there before; the page says so.

            Example:
              vos-fastpath generate-proof build/bench.json docs
            """,
        shouldDisplay: false)

    @OptionGroup var common: CommonOptions

    @Argument(help: "What 'bench --output' wrote.", completion: .file(extensions: ["json"]))
    var figures: String

    @Argument(help: "The folder of the documents; it must exist.", completion: .directory)
    var folder: String

    func run(_ context: Context) throws(Failure) -> Outcome {
        let text = String(decoding: try readFile(figures), as: UTF8.self)
        let page = ProofPage(result: try BenchResult(parsing: text, name: figures))
        let pictures = "\(folder)/\(ProofPage.folder)"
        if mkdir(pictures, 0o755) != 0, errno != EEXIST { throw failure(pictures) }
        var written = ["\(folder)/PROOF.md"]
        try write(page.markdown, to: written[0])
        for picture in page.pictures {
            let path = "\(pictures)/\(picture.name).svg"
            guard let svg = picture.svg else {
                unlink(path)
                continue
            }
            try write(svg.source, to: path)
            written.append(path)
        }
        let profiles = "\(folder)/PROFILES.md"
        if access(profiles, F_OK) == 0 {
            let old = String(decoding: try readFile(profiles), as: UTF8.self)
            let new = page.withCosts(old)
            if new != old {
                try write(new, to: profiles)
                written.append(profiles)
            }
        }
        if context.output.isJSON {
            context.output.json(.array(written.map { .string($0) }))
        } else {
            for path in written { context.output.line(path) }
        }
        return .done
    }

    private func write(_ text: String, to path: String) throws(Failure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw failure(path) }
        let file = FileDescriptor(descriptor)
        let bytes = Array(text.utf8)
        guard Glibc.write(file.rawValue, bytes, bytes.count) == bytes.count else { throw failure(path) }
    }

    private func failure(_ path: String) -> Failure {
        let code = errno
        return Failure(
            .system(errno: code), tried: "write the proof", on: path, because: errorText(code),
            next: "Make the folder first.")
    }
}
