import { describe, expect, test } from "vitest";
import { messageTurns, nowAndThen } from "../src/runtime/turns.ts";

const work = (ms: number) => {
	const start = performance.now();
	while (performance.now() - start < ms);
};

describe("turns", () => {
	test("come first, and then again after some milliseconds of work", async () => {
		let turns = 0;
		const rest = nowAndThen(async () => {
			turns++;
		});
		for (let i = 0; i < 100; i++) await rest();
		expect(turns).toBe(1);
		for (let i = 1; i <= 3; i++) {
			work(10);
			await rest();
			await rest();
			expect(turns).toBe(1 + i);
		}
	});

	test("by messages let timers fire and other messages arrive, for all who wait", async () => {
		const turn = messageTurns();
		const arrived: string[] = [];
		const { port1, port2 } = new MessageChannel();
		port2.onmessage = () => arrived.push("message");
		setTimeout(() => arrived.push("timer"));
		port1.postMessage(undefined);
		for (let turns = 0; turns < 20 && arrived.length < 2; turns++) {
			await Promise.all([turn(), turn()]);
			work(1);
			await turn();
			work(1);
		}
		expect(arrived.sort()).toEqual(["message", "timer"]);
		port1.close();
	});
});
