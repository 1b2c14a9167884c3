// A busy day in a tenant, made by API: runs in the states that pages show most differently, a question, a connection.
import assert from 'node:assert/strict'

const FLOWS = {
  asking: `steps:
  - name: review
    executor: approval
    config:
      message: Shall 120 EUR be paid for train tickets to Flensburg?
      form: {type: object, required: [cost_centre], properties: {cost_centre: {type: string}, urgent: {type: boolean}}}
`,
  each: `steps:
  - name: greet
    executor: data_transformer
    for_each: [Ada, Grace, Edsger]
    on_item_error: collect
    config: {data: "{{ {'Ada': 1, 'Grace': 2}[item] }}"}
  - name: a_step_with_a_name_that_somebody_wrote_without_thinking_about_it
    executor: log
    config: {message: done}
`,
  parked: `steps:
  - name: charge
    executor: fail
    on_error: attention
    config: {message: "Nobody knows whether the card was charged.", code: unknown_charge}
`,
  capped: `max_cost: {amount: 0.000001, on_exceeded: approve}
steps:
  - name: ask
    executor: llm_analyzer
    config: {text: The grinder is loud., model: priced/gpt-4.1-mini}
`,
  failing: `steps:
  - name: reserve
    executor: log
    config: {message: reserve}
    compensate: {executor: log, config: {message: undo}}
  - name: pay
    executor: fail
    config: {message: "The card was declined.", code: declined}
on_error: [{name: tell, executor: log, config: {message: it failed}}]
finally: [{name: clean, executor: log, config: {message: clean}}]
`,
  declined: `steps:
  - {name: pay, executor: fail, config: {message: "The card was declined.", code: declined}}
`,
  many: `steps:
  - name: measure
    executor: data_transformer
    for_each: "{{ range(260) }}"
    on_item_error: collect
    config: {data: "{{ item }}", schema: {type: integer, minimum: 3}}
`,
  calling: `steps:
  - {name: beside, executor: flow_executor, config: {flow_name: declined, detached: true}}
  - {name: within, executor: flow_executor, config: {flow_name: declined}}
`,
}

// The runs by what they are (the flows' names; `beside` and `within`: what `calling` called), and the id of the question that
// one asks.
export async function makeBusy(program) {
  const ask = async (method, path, type, body) => {
    const headers = { authorization: `Bearer ${program.greeting.api_key}`, 'content-type': type, prefer: 'respond-async' }
    const answer = await fetch(`${program.url}/api/v1${path}`, { method, headers, body })
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`)
    return answer.json()
  }
  const json = 'application/json'
  await ask('PUT', '/connections/models', json, JSON.stringify({ kind: 'openai', base_url: 'http://127.0.0.1:9/v1', api_key: 'sk-of-nobody' }))
  // A provider whose prices are known, and which is never called: what it may cost is over every cap here.
  await ask('PUT', '/connections/priced', json, JSON.stringify({ kind: 'openai', base_url: 'https://api.openai.com/v1', api_key: 'sk-of-nobody' }))
  const busy = {}
  for (const [name, yaml] of Object.entries(FLOWS)) {
    await ask('PUT', `/flows/${name}`, 'application/yaml', yaml)
    busy[name] = (await ask('POST', `/flows/${name}/run`, json, '{}')).run_id
  }
  await ask('PUT', '/flows/each', 'application/yaml', FLOWS.each.replace('message: done', 'message: all done'))
  await ask('PUT', '/flows/each/experiments/wording', json, JSON.stringify({
    share: 0.4, variants: [{ name: 'control', version: 1 }, { name: 'longer', version: 2, weight: 2 }],
  }))
  for (let tries = 0; !(busy.beside && busy.within); tries += 1) {
    assert.ok(tries < 100, 'the run calls nobody')
    const called = (await ask('GET', `/runs/${busy.calling}/steps`, json)).data
    for (const step of called) busy[step.name] = step.child_run_id
  }
  for (const name of ['many', 'calling', 'beside', 'within']) {
    for (let tries = 0; !(await ask('GET', `/runs/${busy[name]}`, json)).ended_at; tries += 1) {
      assert.ok(tries < 600, `${name} does not end`)
      await new Promise(resume => setTimeout(resume, 50))
    }
  }
  let question
  for (let tries = 0; !question; tries += 1) {
    assert.ok(tries < 100, 'the run asks nothing')
    question = (await ask('GET', '/approvals?status=open', json)).data[0]?.id
  }
  return { busy, question }
}
