// npm run check:package: packs the package and looks at it as a stranger would. Says its sizes.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const MODEL = "dist/embedded/model.js";
const KERNELS = ["relaxed", "simd", "relaxed-rare", "simd-rare"].map(
	(name) => `dist/embedded/${name}.wasm`,
);
/** Most bytes of the package without the embedded model, packed, and of one kernel build. */
const PACKED_BYTES = 1_000_000;
const KERNEL_BYTES = 200_000;
/** How the README puts it. Numbers may be off by a tenth. */
const STATED_SIZES =
	/package has ([\d.]+) MB, of which ([\d.]+) MB are the embedded model/;
const STATED_KERNELS =
	/^\| common \| (\d+);.*\| (\d+);.*\n\| of rare layouts \| (\d+);.*\| (\d+);/m;
const EXPECTED =
	/^(package\.json|README\.md|CHANGELOG\.md|LICENSE|dist\/.+(\.js|\.d\.ts|\.wasm))$/;

function run(command, args, options = {}) {
	const { status, stdout, stderr, error } = spawnSync(command, args, {
		encoding: "utf8",
		...options,
	});
	if (error) throw error;
	if (status !== 0)
		throw new Error(
			`${command} ${args.join(" ")}: exit code ${status}\n${stdout}${stderr}`,
		);
	return stdout;
}

function expect(condition, message) {
	if (!condition) throw new Error(message);
}

const bin = (name) => join("node_modules", ".bin", name);
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(0)} kB`;

const folder = mkdtempSync(join(tmpdir(), "nibble-package-"));
try {
	// The build has just been made: scripts would make it again.
	const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination"];
	const [packed] = JSON.parse(run("npm", [...pack, folder]));
	const { filename, size, unpackedSize, files } = packed;
	const tarball = resolve(folder, filename);

	for (const { path } of files)
		expect(EXPECTED.test(path), `${path} does not belong into the package`);
	const model = files.find(({ path }) => path === MODEL);
	expect(model, `${MODEL} is missing`);
	// What the model adds is found by packing it alone.
	const alone = run("tar", ["-czf", "-", MODEL], {
		encoding: "buffer",
		maxBuffer: 2 ** 30,
	});
	const withoutModel = size - alone.length;
	expect(
		withoutModel <= PACKED_BYTES,
		`${withoutModel} packed bytes without the embedded model, expected at most ${PACKED_BYTES}`,
	);

	const kernels = KERNELS.map((path) => files.find((f) => f.path === path));
	for (const { path, size } of kernels)
		expect(size <= KERNEL_BYTES, `${path} has ${size} bytes`);
	const readme = readFileSync("README.md", "utf8");
	const stated = [STATED_SIZES, STATED_KERNELS].flatMap(
		(pattern) => readme.match(pattern)?.slice(1) ?? [],
	);
	const measured = [
		size / 1e6,
		alone.length / 1e6,
		...kernels.map((kernel) => kernel.size / 1e3),
	];
	for (const [i, found] of measured.entries())
		expect(
			Math.abs(found - stated?.[i]) <= 0.1 * found,
			`README.md says ${stated?.[i]}, which is ${found.toFixed(1)} by now`,
		);

	run(bin("publint"), ["run", "--strict", tarball]);
	run(bin("attw"), [tarball, "--profile", "esm-only"]);

	// Installed elsewhere, from nothing but the tarball.
	writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
	const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
	run("npm", ["install", ...quiet, tarball], { cwd: folder });
	writeFileSync(
		join(folder, "stranger.js"),
		`import { Model } from "nibble-lm";
const model = await Model.load();
const { text } = await model.generate("Once upon a time", { maxNewTokens: 8 });
await model.dispose();
if (text === "") throw new Error("no text");
`,
	);
	run("node", ["stranger.js"], { cwd: folder });
	const said = run(
		join(folder, "node_modules", ".bin", "nibble"),
		["generate", "--quiet", "--max-new-tokens", "8", "Once upon a time"],
		{ cwd: folder },
	);
	expect(said.trim() !== "", "nibble generate printed nothing");

	console.log(
		[
			`package  ${kilobytes(size)} packed, ${kilobytes(unpackedSize)} unpacked, ${files.length} files`,
			`         ${kilobytes(withoutModel)} packed without the embedded model`,
			...kernels.map(
				({ path, size }) => `kernels  ${kilobytes(size)}  ${path}`,
			),
			"publint and arethetypeswrong (ESM only) found nothing; an installed copy generates text",
		].join("\n"),
	);
} finally {
	rmSync(folder, { recursive: true, force: true });
}
