// The official SDKs against a box whose sessions are the real Claude Code: node real.mjs URL, with a
// token in CIB_TOKEN. The model is a stand-in, which does what a message's lines with @ say.
import assert from 'node:assert/strict'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const box = process.argv[2]
const token = process.env.CIB_TOKEN
// Long enough that the model says it in several pieces.
const words = 'it is there, whole, and was made by a command, and all of this is said in more than one piece'
const user = (...lines) => ({ role: 'user', content: lines.join('\n') })

// Makes a session, is asked something, and answers it.
async function mcp() {
  const requestInit = { headers: { Authorization: `Bearer ${token}` } }
  const transport = new StreamableHTTPClientTransport(new URL(`${box}/mcp`), { requestInit })
  const client = new Client({ name: 'conformance', version: '1' })
  await client.connect(transport)
  const use = async (name, args) => {
    const result = await client.callTool({ name, arguments: args }, undefined, { timeout: 150_000 })
    assert(!result.isError, result.content[0].text)
    return JSON.parse(result.content[0].text)
  }
  const prompt = '@ask Which colour?|Red|Blue\n@text thanks for that'
  const { session, question } = await use('create_session', { prompt, timeout_s: 120 })
  assert(question, 'it asks')
  const after = await use('answer_question', { session, answer: 'Blue', timeout_s: 120 })
  assert(
    after.messages.some(({ text }) => text?.includes('thanks for that')),
    JSON.stringify(after)
  )
  return { session, end: () => use('end_session', { session }).then(() => client.close()) }
}

async function anthropic(model, file) {
  const client = new Anthropic({ baseURL: box, apiKey: token, maxRetries: 0 })
  const script = ['@text I look.', `@bash echo by a tool | tee ${file}`, `@text ${words}`]
  const stream = client.messages.stream({ model, max_tokens: 100, messages: [user(...script)] })
  let [said, pieces] = ['', 0]
  stream.on('text', (text) => {
    said += text
    pieces += 1
  })
  const whole = await stream.finalMessage()
  assert.equal(said, `I look.\n\n${words}`)
  assert(pieces > 2, 'it comes as it is said')
  assert.deepEqual(
    whole.content.map(({ type }) => type),
    ['text', 'mcp_tool_use', 'mcp_tool_result', 'text']
  )
  assert.equal(whole.content[1].name, 'Bash')
  assert.equal(whole.content[1].input.command, `echo by a tool | tee ${file}`)
  assert.match(JSON.stringify(whole.content[2].content), /by a tool/)
  assert.equal(whole.stop_reason, 'end_turn')
  assert(whole.usage.output_tokens > 0)
}

async function openai(model) {
  const client = new OpenAI({ baseURL: `${box}/openai/v1`, apiKey: token, maxRetries: 0 })
  const script = ['@think let me see', '@bash echo seen', `@text ${words}`]
  const stream = await client.chat.completions.create({
    model,
    messages: [user(...script)],
    stream: true,
    stream_options: { include_usage: true }
  })
  let [said, thought, reason, usage, pieces] = ['', '', null, null, 0]
  for await (const chunk of stream) {
    const choice = chunk.choices[0]
    if (choice?.delta?.content) pieces += 1
    said += choice?.delta?.content ?? ''
    thought += choice?.delta?.reasoning_content ?? ''
    reason = choice?.finish_reason ?? reason
    usage = chunk.usage ?? usage
  }
  assert.equal(said, words)
  assert(pieces > 2, 'it comes as it is said')
  assert.match(thought, /let me see/)
  assert.match(thought, /\[Bash\]/)
  assert.equal(reason, 'stop')
  assert(usage.completion_tokens > 0)
}

const { session, end } = await mcp()
await anthropic(`session/${session}`, 'seen.txt')
await openai(`session/${session}`)
await end()
await anthropic('claude-in-box', 'made.txt')
console.log('all is as it should be')
