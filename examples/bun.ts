// bun examples/bun.ts: the model asks for a tool, gets its answer, and tells.
import { type Message, Model, type Tool } from "nibble-lm";

const model = await Model.load();
const tools: Tool[] = [
	{
		type: "function",
		function: {
			name: "get_weather",
			description: "Get the weather of a city",
			parameters: { type: "object", properties: { city: { type: "string" } } },
		},
	},
];
const messages: Message[] = [
	{ role: "user", content: "What is the weather in Oslo?" },
];
const options = { tools, thinking: false, doSample: false };
const { text, toolCalls } = await model.generate(messages, options);
for (const call of toolCalls) {
	console.log("calls", call.name, call.arguments);
	messages.push(
		{ role: "assistant", content: text + call.raw },
		{ role: "tool", content: '{"weather": "stormy", "degrees": 11}' },
	);
}
console.log("says", (await model.generate(messages, options)).text.trim());
await model.dispose();
