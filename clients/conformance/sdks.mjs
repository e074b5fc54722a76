// The official SDKs against a box, unmodified: node sdks.mjs URL, with a token in CIB_TOKEN. Its
// sessions repeat what they are told; `tool` has one use a tool, and `ask` has one ask.
import assert from 'node:assert/strict'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const box = process.argv[2]
const token = process.env.CIB_TOKEN
const model = 'claude-in-box'
const user = (content) => ({ role: 'user', content })

async function anthropic() {
  const client = new Anthropic({ baseURL: box, apiKey: token, maxRetries: 0 })
  const ask = (...messages) => ({ model, max_tokens: 100, messages })
  const first = await client.messages.create(ask(user('one')))
  assert.equal(first.content[0].text, 'You said one')
  assert.equal(first.stop_reason, 'end_turn')
  assert.equal(first.usage.output_tokens, 7)
  const { data, response } = await client.messages
    .create(ask(user('one'), { role: 'assistant', content: first.content }, user('two')))
    .withResponse()
  assert.equal(data.content[0].text, 'You said two')
  const session = response.headers.get('x-cib-session')
  assert.match(session, /^[0-9a-f-]{36}$/)
  const stream = client.messages.stream(ask(user('tool')))
  let said = ''
  stream.on('text', (text) => (said += text))
  const whole = await stream.finalMessage()
  assert.equal(said, 'I look.\n\nIt is there.')
  assert.deepEqual(
    whole.content.map((block) => block.type),
    ['text', 'mcp_tool_use', 'mcp_tool_result', 'text']
  )
  assert.deepEqual(whole.content[1].input, { command: 'ls' })
  const beta = await client.beta.messages.stream(ask(user('tool'))).finalMessage()
  assert.equal(beta.content[1].name, 'Bash')
  const again = ask(user('tool'), { role: 'assistant', content: whole.content }, user('three'))
  assert.equal((await client.messages.create(again)).content[0].text, 'You said three')
  const tools = [{ name: 'f', input_schema: { type: 'object' } }]
  await assert.rejects(client.messages.create({ ...ask(user('x')), tools }), (error) => {
    assert(error instanceof Anthropic.BadRequestError, `${error}`)
    assert.match(error.message, /takes none of a client's/)
    return true
  })
  const failing = client.messages.stream(ask(user('fail')))
  await assert.rejects(failing.finalMessage(), /the API is overloaded/)
  const stranger = new Anthropic({ baseURL: box, apiKey: 'wrong', maxRetries: 0 })
  await assert.rejects(stranger.messages.create(ask(user('x'))), Anthropic.AuthenticationError)
}

async function openai() {
  const client = new OpenAI({ baseURL: `${box}/openai/v1`, apiKey: token, maxRetries: 0 })
  const models = await client.models.list()
  assert(models.data.some(({ id }) => id === model))
  const one = await client.chat.completions.create({ model, messages: [user('one')] })
  assert.equal(one.choices[0].message.content, 'You said one')
  assert.equal(one.choices[0].finish_reason, 'stop')
  const stream = await client.chat.completions.create({
    model,
    messages: [{ role: 'system', content: 'be brief' }, user('tool')],
    stream: true,
    stream_options: { include_usage: true }
  })
  let [said, thought, usage] = ['', '', null]
  for await (const chunk of stream) {
    said += chunk.choices[0]?.delta?.content ?? ''
    thought += chunk.choices[0]?.delta?.reasoning_content ?? ''
    usage = chunk.usage ?? usage
  }
  assert.equal(said, 'I look.\n\nIt is there.')
  assert.match(thought, /\[Bash\]/)
  assert.equal(usage.completion_tokens, 7)
  const runner = client.chat.completions.stream({ model, messages: [user('two')] })
  assert.equal(await runner.finalContent(), 'You said two')
  await assert.rejects(
    client.chat.completions.create({ model: 'session/x', messages: [user('x')] }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === 'no_such_session'
  )
  const failing = client.chat.completions.create({ model, messages: [user('fail')], stream: true })
  await assert.rejects(async () => {
    for await (const chunk of await failing) assert(chunk)
  }, /the API is overloaded/)
  const stranger = new OpenAI({ baseURL: `${box}/openai/v1`, apiKey: 'wrong', maxRetries: 0 })
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError)
}

async function mcp() {
  const headers = { Authorization: `Bearer ${token}` }
  const transport = new StreamableHTTPClientTransport(new URL(`${box}/mcp`), {
    requestInit: { headers }
  })
  const client = new Client({ name: 'conformance', version: '1' })
  await client.connect(transport)
  assert.equal(client.getServerVersion().name, 'claude-in-box')
  const { tools } = await client.listTools()
  assert(tools.some(({ name }) => name === 'create_session'))
  await client.ping()
  const use = async (name, args) => {
    const result = await client.callTool({ name, arguments: args })
    assert(!result.isError, result.content[0].text)
    return JSON.parse(result.content[0].text)
  }
  const { session } = await use('create_session', {})
  const said = await use('send_message', { session, message: 'ask' })
  assert.equal(said.question, 'q1')
  await use('answer_question', { session, answer: 'Red' })
  const after = await use('wait', { session, since: said.last_seq })
  assert(after.messages.some(({ text }) => text === 'You said Red'))
  const refused = await client.callTool({ name: 'wait', arguments: {} })
  assert(refused.isError)
  await assert.rejects(client.callTool({ name: 'nothing', arguments: {} }), /there is no tool/)
  await use('end_session', { session })
  await client.close()
}

await anthropic()
await openai()
await mcp()
console.log('all is as it should be')
