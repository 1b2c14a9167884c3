// Suite: the console of a demo in a real browser. Every page is healthy and accessible, light and dark, narrow and wide;
// colours forced, printed; a real document goes through a flow by the form, with scripts and without; keys lead everywhere.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { makeBusy } from './lib/busy.mjs'
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

// A path as a file's name, with a run's state for its id.
const named = path => Object.entries(busy).reduce((text, [state, id]) => text.replace(id, state), path)
  .replace(/(run|approval)_[a-z0-9]+/, '$1').replaceAll(/[/?=]/g, '-') || '-overview'
let program, browser, tenant, cookies, busy, question
const at = path => `${program.url}/t/${tenant}${path}`

before(async () => {
  program = await startProgram(['demo'])
  tenant = program.greeting.tenant?.name ?? program.greeting.tenant
  browser = await startBrowser()
  const answer = await fetch(`${program.url}/api/v1/flows/read_document`, {
    method: 'PUT', headers: { authorization: `Bearer ${program.greeting.api_key}`, 'content-type': 'application/yaml' }, body: READER,
  })
  assert.ok(answer.ok, `${answer.status} ${await answer.text()}`)
  ;({ busy, question } = await makeBusy(program))
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
    '/flows/read_document/runs', '/flows/read_document/versions', '/flows/each/versions', '/runs', '/keys', '/keys/new', '/connections',
    '/connections/new', '/connections/models', '/approvals', '/members', '/audit', '/audit?action=nothing', '/account', '/settings',
    '/runs?flow=nothing']
  await page.goto(at('/runs'))
  const run = await page.locator(`main a[href^="/t/${tenant}/runs/"]`).first().getAttribute('href')
  const rest = run.slice(`/t/${tenant}`.length)
  const states = Object.values(busy).map(id => `/runs/${id}`)
  const tabs = ['steps', 'data', 'journal', 'raw'].map(tab => `/runs/${busy.each}/${tab}`)
  return [...paths, rest, ...states, ...tabs, `/approvals/${question}`]
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
        await shot(page, `${name}${named(path)}`)
        await assertAccessible(page)
        await assertNoSidewaysScroll(page)
      } catch (error) { found.push(error.message) }
    }
    await context.close()
    assert.equal(found.length, 0, found.join('\n'))
    assertHealthy(troubles)
  })
}

for (const [name, how] of Object.entries({ forced: { forced: true }, 'forced-narrow': { forced: true, width: 320, height: 640 } })) {
  test(`every page can be read in colours of one's own: ${name}`, async () => {
    const { context, page, troubles } = await browser.person({ ...how, cookies })
    const found = []
    for (const path of await addresses(page)) {
      await page.goto(at(path))
      await hydrated(page)
      await shot(page, `${name}${named(path)}`)
      // What is pressed or is here now has an edge of its own, since its ground is gone.
      const edgeless = await page.evaluate(() => [...document.querySelectorAll('.button, .chip, .tag-pill, .rail-link[aria-current], .card')]
        .filter(part => part.checkVisibility() && !part.closest('dialog'))
        .filter(part => {
          const style = getComputedStyle(part)
          return style.borderTopStyle === 'none' && style.outlineStyle === 'none'
        }).map(part => `${part.className}: ${part.textContent.slice(0, 30)}`))
      if (edgeless.length) found.push(`${path}: ${edgeless.slice(0, 3).join('; ')}`)
      await assertNoSidewaysScroll(page)
    }
    await context.close()
    assert.equal(found.length, 0, found.join('\n'))
    assertHealthy(troubles)
  })
}

test('a run and the audit log print without what is only for the screen', async () => {
  const { context, page } = await browser.person({ cookies, dark: true })
  for (const [name, path] of [['run', `/runs/${busy.each}?step=greet`], ['audit', '/audit']]) {
    await page.goto(at(path))
    await page.emulateMedia({ media: 'print' })
    await shot(page, `print-${name}`)
    const shown = await page.evaluate(() => ['.rail', '.page-actions', '.tabs', '.filters', '.pager', '.live']
      .filter(part => [...document.querySelectorAll(part)].some(found => found.checkVisibility())))
    assert.deepEqual(shown, [], path)
    const [ground, ink] = await page.evaluate(() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('h1')).color])
    assert.ok(/^rgba?\((255, 255, 255|0, 0, 0, 0)/.test(ground), `paper is white: ${ground}`)
    assert.ok(Number(ink.match(/\d+/)[0]) < 100, `ink is dark: ${ink}`)
    await page.emulateMedia({ media: 'screen' })
  }
  await context.close()
})

test('nothing moves for a person who asked for that', async () => {
  for (const motion of [true, false]) {
    const { context, page } = await browser.person({ cookies, motion })
    await page.goto(at(`/runs/${busy.asking}`))
    await hydrated(page)
    const longest = await page.evaluate(() => Math.max(...[...document.querySelectorAll('*')].flatMap(part => {
      const style = getComputedStyle(part)
      return [style.transitionDuration, style.animationDuration].flatMap(text => text.split(',')).map(text =>
        text.trim().endsWith('ms') ? parseFloat(text) : parseFloat(text) * 1000)
    })))
    assert.ok(motion ? longest > 1 : longest <= 1, `${longest} ms, motion ${motion}`)
    await context.close()
  }
})

test('keys lead to every section, tell themselves, and can be turned off', async () => {
  const { context, page, troubles } = await browser.person({ cookies })
  await page.goto(at('/flows'))
  await hydrated(page)
  await page.keyboard.press('g')
  await page.keyboard.press('r')
  await page.waitForURL('**/runs')
  await hydrated(page)
  await page.keyboard.press('?')
  const dialog = page.getByRole('dialog', { name: 'Keyboard shortcuts' })
  await dialog.waitFor()
  await shot(page, 'shortcuts', { full: false })
  await assertAccessible(page)
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'hidden' })
  // While somebody types, a letter is a letter.
  await page.goto(at('/audit'))
  await hydrated(page)
  await page.locator('[name=actor]').pressSequentially('gr?')
  assert.equal(await page.locator('[name=actor]').inputValue(), 'gr?')
  assert.equal(new URL(page.url()).pathname, `/t/${tenant}/audit`)
  await page.goto(at('/account'))
  await page.getByRole('main').getByRole('button', { name: 'Turn them off' }).click()
  await page.getByRole('main').getByRole('button', { name: 'Turn them on' }).waitFor()
  await hydrated(page)
  await page.keyboard.press('?')
  assert.ok(await dialog.isHidden())
  await page.keyboard.press('Control+k')
  await page.getByRole('combobox', { name: 'Go to' }).waitFor()
  await context.close()
  assertHealthy(troubles)
})

test('a connection is tried and the runs are taken along, without scripts', async () => {
  const { context, page } = await browser.person({ scripts: false, cookies })
  await page.goto(at('/connections/models'))
  await page.getByRole('button', { name: 'Test models' }).click()
  await page.getByText('No connection to').waitFor()
  assert.equal(new URL(page.url()).pathname, `/t/${tenant}/connections/models`)
  await shot(page, 'connection-tested')
  await page.goto(at('/runs?status=failed&flow=failing'))
  await page.getByText('Export').click()
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'CSV' }).click()])
  const text = readFileSync(await download.path(), 'utf8')
  assert.match(download.suggestedFilename(), /^runs-.*\.csv$/)
  assert.equal(text.trim().split('\r\n').length, 2, text)
  assert.ok(text.includes(busy.failing), text)
  await context.close()
})

test('a cap is raised on the page of the run that stopped at it', async () => {
  const { context, page } = await browser.person({ scripts: false, cookies })
  await page.goto(at(`/runs/${busy.capped}`))
  assert.ok((await words(page)).includes('$0.0000010'), await words(page))
  // Raised by too little: the step tries again, and names the new cap. So nothing has to be called.
  await page.getByLabel('New cap').fill('0.0000015')
  await page.getByRole('button', { name: 'Do it again' }).click()
  // Without scripts a person reloads until it is done.
  for (let tries = 0; tries < 60 && !(await words(page)).includes('$0.0000015'); tries += 1) {
    await new Promise(resume => setTimeout(resume, 500))
    await page.reload()
  }
  assert.ok((await words(page)).includes('$0.0000015'), await words(page))
  await context.close()
})

test('a called run that nobody waits for is restarted on its page, and one that is waited for with its caller', async () => {
  const { context, page } = await browser.person({ scripts: false, cookies })
  const restart = page.getByRole('button', { name: 'Restart' })
  await page.goto(at(`/runs/${busy.within}`))
  assert.equal(await restart.count(), 0, await words(page))
  await page.goto(at(`/runs/${busy.beside}`))
  const before = (await journal()).length
  await restart.click()
  for (let tries = 0; (await journal()).length <= before; tries += 1) {
    assert.ok(tries < 60, 'the run is over and did not begin again')
    await new Promise(resume => setTimeout(resume, 500))
  }
  await context.close()
})

const journal = async () => {
  const headers = { authorization: `Bearer ${program.greeting.api_key}` }
  const answer = await fetch(`${program.url}/api/v1/runs/${busy.beside}/events`, { headers })
  assert.ok(answer.ok, `${answer.status}`)
  // Ends behind the run's last event.
  return (await answer.text()).split('\n').filter(line => line.startsWith('id:'))
}

test('of very many attempts those that failed are shown first, and how many are not shown', async () => {
  const { context, page } = await browser.person({ cookies })
  await page.goto(at(`/runs/${busy.many}?step=measure#step`))
  await hydrated(page)
  const list = page.locator('ol.attempts > li')
  const texts = await list.allInnerTexts()
  assert.equal(texts.length, 50, texts.join('\n'))
  assert.deepEqual(texts.slice(0, 3).map(text => text.match(/Item \d+/)[0]), ['Item 0', 'Item 1', 'Item 2'])
  assert.ok((await words(page)).includes('210 more attempts'), await words(page))
  await shot(page, 'attempts-of-many')
  await context.close()
})

test('a question is answered on a phone by keyboard', async () => {
  const { context, page } = await browser.person({ width: 320, height: 640, cookies })
  await page.goto(at(`/approvals/${question}`))
  await hydrated(page)
  await page.getByLabel('Cost centre').focus()
  await page.keyboard.type('4711')
  await page.getByRole('button', { name: 'Approve' }).focus()
  await page.keyboard.press('Enter')
  await page.waitForURL('**/approvals')
  await page.goto(at(`/approvals/${question}`))
  assert.ok((await words(page)).includes('Approved'), await words(page))
  await context.close()
})

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
