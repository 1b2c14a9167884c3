//! Functions and macros in templates.

use insta::assert_snapshot;

use super::{planned, problems};

#[test]
fn calls_are_held_against_the_def_line_and_the_macro() {
    assert_snapshot!(problems(r#"
functions:
  cut:
    implementation: |
      import re

      def cut(text, most: int = 5, *, mark="(,)", **more):
          return text[:most] + mark
  both:
    implementation: |
      def both(a, b):
          return a + b
macros:
  greet: "{% macro greet(name, tone='kind') %}Hello {{ name }}, {{ inputs.x }} {{ both(1) }}{% endmacro %}"
steps:
  - name: a
    executor: api_request
    config:
      url: "{{ cut(inputs.a) }} {{ cut(inputs.a, 1, 2) }} {{ cut() }} {{ cut(most=3) }} {{ cut(inputs.a, mark='', other=1) }}"
      headers:
        one: "{{ both(1, 2) }} {{ both(1, b=2) }} {{ both(1, a=2) }} {{ both(1, 2, c=3) }} {{ both(*inputs.list) }}"
        two: "{{ greet('x') }} {{ greet('x', 'y', 'z') }} {{ greet(tne='x') }} {{ gret('x') }} {{ bot(1, 2) }}"
"#), @r"
        F045 14:68-14:76 there is no `inputs` inside a macro
             A macro sees what it is given: make it a parameter.
        F065 14:83-14:90 `both` is called without `b`
             It takes `a`, `b`.
        F065 19:36-19:55 `cut` is called with 3 arguments
             It takes `text`, `most` (may be left out), `mark` (by name).
        F065 19:62-19:67 `cut` is called without `text`
             It takes `text`, `most` (may be left out), `mark` (by name).
        F065 19:74-19:85 `cut` is called without `text`
             It takes `text`, `most` (may be left out), `mark` (by name).
        F065 21:54-21:66 `both` is given `a` twice
             It takes `a`, `b`.
        F065 21:73-21:88 `both` has no parameter `c`
             It takes `a`, `b`.
        F065 22:35-22:55 `greet` is called with 3 arguments
             It takes `name` (may be left out), `tone` (may be left out).
        F065 22:62-22:76 `greet` has no parameter `tne`
             It takes `name` (may be left out), `tone` (may be left out).
        F046 22:83-22:92 there is no function `gret`
             Did you mean `greet`?
        F046 22:99-22:108 there is no function `bot`
             Did you mean `both`?
        ");
}

#[test]
fn functions_and_macros_must_be_what_they_say() {
    assert_snapshot!(problems(r#"
functions:
  one: {implementation: "return 1"}
  two: {implementation: "def tow(): return 2"}
  three: {implementation: "def three():\n    pass\n"}
  four: {implementation: "def four(a):\n    return a\n"}
  five: {description: none}
  range: {implementation: "def range(): return 1"}
  Six: {implementation: "def Six(): return 1"}
  both: {implementation: "def both(): return 1"}
macros:
  seven: "{% macro eight() %}{% endmacro %}"
  nine: "no macro"
  ten: "{% macro ten( %}"
  both: "{% macro both() %}{% endmacro %}"
steps:
  - {name: a, executor: file_analyzer}
"#), @r"
        F063 3:25-3:35 the function `one` has no line `def one(...):`
             Write `def one(...):` at the beginning of a line.
        F063 4:25-4:46 the function `two` has no line `def two(...):`
             It defines `tow`; call both the same.
        F064 warning 5:28-5:40 the function `three` has no body
             It will fail until its body is written.
        F012 7:9-7:9 a function needs `implementation`
        F056 8:3-8:8 `range` already means something in templates
             Choose another name.
        F014 9:3-9:6 `Six` is no name for a function
             Small letters, digits and `_`, a letter first, at most 64 characters.
        F063 12:10-12:45 the macro `seven` is not defined by its text
             It defines `eight`; call both the same.
        F063 13:9-13:19 the macro `nine` is not defined by its text
             Write `{% macro nine(...) %}...{% endmacro %}`.
        F040 14:9-14:25 the template cannot be read: unexpected `%`, expected identifier
        F030 15:3-15:7 `both` is a function and a macro
        ");
}

#[test]
fn the_plan_holds_them_by_name() {
    let plan = planned(
        r#"
functions:
  add:
    description: Adds.
    implementation: |
      def add(a, b):
          return a + b
macros:
  twice: "{% macro twice(x) %}{{ add(x, x) }}{% endmacro %}"
steps:
  - {name: a, executor: api_request, config: {url: "https://example.com/{{ twice(add(1, 2)) }}"}}
"#,
    );
    assert_eq!(plan.functions["add"].description.as_deref(), Some("Adds."));
    assert_eq!(plan.functions["add"].line, 6);
    assert_eq!(plan.macros["twice"], "{% macro twice(x) %}{{ add(x, x) }}{% endmacro %}");
}

#[test]
fn macros_that_load_each_other_in_a_circle_are_refused_and_one_may_call_itself() {
    assert_snapshot!(problems(r#"
macros:
  ping: "{% macro ping(n) %}{% if n %}{{ pong(n - 1) }}{% endif %}{% endmacro %}"
  pong: "{% macro pong(n) %}{{ ping(n) }}{% endmacro %}"
  down: "{% macro down(n) %}{% if n %}{{ down(n - 1) }}{% endif %}{% endmacro %}"
  calls: "{% macro calls(ping) %}{{ ping }}{{ down(1) }}{% endmacro %}"
  first: "{% macro first() %}{{ second() }}{{ down(2) }}{% endmacro %}"
  second: "{% macro second() %}{{ third() }}{% endmacro %}"
  third: "{% macro third() %}{% set f = first %}{{ f() }}{{ ping(1) }}{% endmacro %}"
steps:
  - {name: a, executor: api_request, config: {url: "{{ down(3) }}{{ calls('x') }}"}}
"#), @r"
        F069 3:9-3:82 the macro `ping` loads the macro `pong`, which loads the macro `ping`: a circle without an end
             A macro may call itself: write those that call each other as one, with a parameter that says which.
        F069 7:10-7:72 the macro `first` loads the macro `second`, which loads the macro `third`, which loads the macro `first`: a circle without an end
             A macro may call itself: write those that call each other as one, with a parameter that says which.
        ");
}
