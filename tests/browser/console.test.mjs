// Suite: the console of a demo in a real browser. Every page is healthy and accessible, light and dark, narrow and wide;
// a real document goes through a flow by the form, with scripts and without.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { assertAccessible, assertHealthy, assertNoSidewaysScroll, hydrated, shot, signIn, startBrowser } from './lib/browser.mjs'
import { startProgram } from './lib/program.mjs'

const REPORT = fileURLToPath(new URL('../fixtures/documents/report.pdf', import.meta.url))
const SENTENCE = 'In summer the office will install a fifth sensor below the railway bridge.'
const READER = `inputs:
  document: {type: file, required: true}
outputs:
  text: "{{ steps.extract.text }}"
steps:
  - name: extract
    executor: document_extractor
`

let program, browser, tenant, cookies
const at = path => `${program.url}/t/${tenant}${path}`

before(async () => {
  program = await startProgram(['demo'])
  tenant = program.greeting.tenant?.name ?? program.greeting.tenant
  browser = await startBrowser()
  const answer = await fetch(`${program.url}/api/v1/flows/read_document`, {
    method: 'PUT', headers: { authorization: `Bearer ${program.greeting.api_key}`, 'content-type': 'application/yaml' }, body: READER,
  })
  assert.ok(answer.ok, `${answer.status} ${await answer.text()}`)
  const { context, page } = await browser.person()
  await signIn(page, program.greeting.sign_in_link, {})
  cookies = await context.cookies()
  await context.close()
})
after(async () => {
  await browser?.close()
  await program?.stop()
})

// The pages every tenant has, and the first flow and run that the lists show.
async function addresses(page) {
  const paths = ['', '/flows', '/flows/read_document', '/flows/read_document/run', '/flows/read_document/yaml',
    '/flows/read_document/runs', '/flows/read_document/versions', '/runs', '/keys', '/keys/new', '/connections',
    '/connections/new', '/members', '/settings']
  await page.goto(at('/runs'))
  const run = await page.locator(`main a[href^="/t/${tenant}/runs/"]`).first().getAttribute('href')
  const rest = run.slice(`/t/${tenant}`.length)
  return [...paths, rest, `${rest}/steps`, `${rest}/data`]
}

for (const [name, how] of Object.entries({
  light: {}, dark: { dark: true }, narrow: { width: 320, height: 640 }, 'narrow-dark': { width: 320, height: 640, dark: true }, zoomed: { zoom: 2 },
})) {
  test(`every page is healthy and accessible: ${name}`, async () => {
    const { context, page, troubles } = await browser.person({ ...how, cookies })
    const found = []
    for (const path of await addresses(page)) {
      try {
        const answer = await page.goto(at(path))
        assert.equal(answer.status(), 200, path)
        await hydrated(page)
        await shot(page, `${name}${path.replaceAll('/', '-').replace(/run_[a-zA-Z0-9]+/, 'run') || '-overview'}`)
        await assertAccessible(page)
        await assertNoSidewaysScroll(page)
      } catch (error) { found.push(error.message) }
    }
    await context.close()
    assert.equal(found.length, 0, found.join('\n'))
    assertHealthy(troubles)
  })
}

const words = async page => (await page.locator('main').innerText()).replace(/\s+/g, ' ')

test('a document goes through a flow by the form', async () => {
  const { context, page, troubles } = await browser.person({ cookies })
  await page.goto(at('/flows/read_document/run'))
  await hydrated(page)
  await page.setInputFiles('main input[type=file]', REPORT)
  await page.getByRole('button', { name: /^Run/ }).click()
  await page.waitForURL('**/runs/run_*')
  // Live: nothing is reloaded, the page follows the run.
  await page.locator('main').getByText(/^Succeeded$/i).first().waitFor({ timeout: 30_000 })
  await shot(page, 'run-by-form')
  await page.goto(`${page.url()}/data`)
  assert.ok((await words(page)).includes(SENTENCE), await words(page))
  assertHealthy(troubles)
  await context.close()
})

test('a document goes through a flow by the form without scripts', async () => {
  const { context, page } = await browser.person({ scripts: false, cookies })
  await page.goto(at('/flows/read_document/run'))
  await page.setInputFiles('main input[type=file]', REPORT)
  await page.getByRole('button', { name: /^Run/ }).click()
  await page.waitForURL('**/runs/run_*')
  await page.goto(`${page.url()}/data`)
  // Nobody is told anything without scripts: a person reloads.
  for (let tries = 0; tries < 60 && !(await words(page)).includes(SENTENCE); tries += 1) {
    await new Promise(resume => setTimeout(resume, 500))
    await page.reload()
  }
  assert.ok((await words(page)).includes(SENTENCE), await words(page))
  await context.close()
})

test('a key is shown once and can be revoked, by keyboard alone', async () => {
  const { context, page, troubles } = await browser.person({ cookies })
  await page.goto(at('/keys/new'))
  await hydrated(page)
  await page.locator('main [name=name]').focus()
  await page.keyboard.type('by keyboard')
  await page.keyboard.press('Enter')
  const key = page.getByText(/weir_(live|test)_[0-9A-Za-z]{36}/).first()
  await key.waitFor()
  await shot(page, 'key-created')
  await assertAccessible(page)
  await page.goto(at('/keys'))
  assert.equal(await page.getByText(/weir_(live|test)_[0-9A-Za-z]{36}/).count(), 0, 'a key is shown once')
  assert.ok(await page.getByText('by keyboard').count())
  assertHealthy(troubles)
  await context.close()
})

test('an unknown address answers 404 in the words of the console', async () => {
  const { context, page } = await browser.person({ cookies })
  const answer = await page.goto(at('/no-such-page'))
  assert.equal(answer.status(), 404)
  assert.ok(await page.locator('main, h1').count())
  const stranger = await page.goto(`${program.url}/t/no-such-tenant/runs`)
  assert.equal(stranger.status(), 404)
  await context.close()
})
