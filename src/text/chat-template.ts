/** Chat templates by name. "default" is the one for plain chats, "tool_use" goes first when tools are given. */
export type ChatTemplates = Readonly<Record<string, string>>;
