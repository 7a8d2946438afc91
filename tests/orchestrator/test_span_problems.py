from __future__ import annotations

from typing import Any

import msgspec
import pytest

from config.manifest import Manifest
from orchestrator.span_problems import span_problems

METRIC = {"name": "http.server.request.duration", "description": "Requests", "attributes": ["http.request.method"]}
SPAN: dict[str, Any] = {
    "name": "{http.request.method} {constant}",
    "event": "request",
    "end": "answer",
    "key": ["tid", "fd"],
    "attributes": {"constant": 1},
    "parent": "header",
    "links": ["header"],
    "metrics": [METRIC],
    "keep": {"min_duration": "slower", "only": {"http.response.status_code": "status"}, "one_in": "one_in"},
}
WHOLE: dict[str, Any] = {"name": "query", "event": "query line", "duration": "took"}
EVENTS: dict[str, Any] = {
    "request": {
        "name": "ebpf.request",
        "fields": [
            {"type": "time", "name": "when"},
            {"name": "tid"},
            {"name": "fd"},
            {"name": "header", "type": "string"},
            {"type": "string", "attribute": "url.path", "also": {"http.request.method": "http_method"}},
        ],
        "attributes": {"http.scheme": "http"},
    },
    "answer": {
        "name": "ebpf.answer",
        "fields": [{"type": "time"}, {"name": "tid"}, {"name": "fd"}, {"attribute": "http.response.status_code"}],
        "parts": {"answer_head": {"attribute": "ebpf.head", "decode": "c_string"}},
    },
}
PRINTS: list[dict[str, Any]] = [
    {
        "name": "query line",
        "pieces": [{"printf": "%s %d\n", "fields": [{"equals": "q", "name": "what"}, {"name": "took"}]}],
    }
]
PARAMETERS: dict[str, Any] = {
    "slower": {"type": "duration", "default": "0", "help": "h"},
    "status": {"type": "string", "default": "", "pattern": ".*", "help": "h"},
    "one_in": {"type": "int", "default": 1, "help": "h"},
    "which": {"type": "choice", "default": "all", "choices": {"all": 0}, "help": "h"},
}


def problems(*spans: dict[str, Any], **words: Any) -> list[str]:
    everything = {"summary": "x", "events": EVENTS, "prints": PRINTS, "parameters": PARAMETERS, "spans": spans, **words}
    return list(span_problems(msgspec.convert(everything, Manifest)))


def test_nothing_is_wrong() -> None:
    assert problems() == []
    assert problems(SPAN, WHOLE, {**WHOLE, "time": "start", "parent": "took"}) == []
    assert problems({**SPAN, "key": ["tid", "fd"], "links": ["ebpf.head", "http.scheme", "url.path"]}) == []


@pytest.mark.parametrize(
    ("span", "changes", "sentence"),
    [
        (SPAN, {"event": "reqest"}, "no event or printed line 'reqest' (did you mean request"),
        (SPAN, {"end": "answers"}, "no event or printed line 'answers' (did you mean answer"),
        (WHOLE, {"event": "query"}, "no event or printed line 'query' (did you mean query line"),
        (WHOLE, {"duration": None}, "a span has either `duration` or `end`"),
        (SPAN, {"duration": "tid"}, "a span has either `duration` or `end`"),
        (WHOLE, {"key": ["took"]}, "`key` is for two events that pair, and there is no `end`"),
        (SPAN, {"key": []}, "`key` is missing: it tells whose end an event is"),
        (SPAN, {"end": "request"}, "the same event cannot be both the beginning and the end"),
        (SPAN, {"key": ["tid", "header"]}, "key: answer has no field or attribute 'header'"),
        (SPAN, {"key": ["http.response.status_code"]}, "key: request has no field or attribute 'http.response.sta"),
        (WHOLE, {"duration": "tok"}, "duration: no field or attribute 'tok' (did you mean took"),
        (WHOLE, {"duration": "what"}, "duration: no field or attribute 'what'"),
        (SPAN, {"parent": "haeder"}, "parent: no field or attribute 'haeder' (did you mean header"),
        (SPAN, {"parent": "when"}, "parent: no field or attribute 'when'"),
        (SPAN, {"links": ["header", "other"]}, "links: no field or attribute 'other'"),
        (SPAN, {"name": "{url.paht}"}, "name: no attribute 'url.paht' (did you mean url.path"),
        (SPAN, {"name": "{tid}"}, "name: no attribute 'tid'"),
        (SPAN, {"keep": {"only": {"http.status": "status"}}}, "keep: no attribute 'http.status'"),
        (
            SPAN,
            {"metrics": [{**METRIC, "attributes": ["http.request.metod"]}]},
            "http.server.request.duration: no attribute 'http.request.metod' (did you mean http.request.method",
        ),
        (SPAN, {"keep": {"min_duration": -1}}, "keep: min_duration -1 is negative"),
        (SPAN, {"keep": {"one_in": 0}}, "keep: one_in 0 keeps nothing; 1 keeps all"),
        (SPAN, {"keep": {"min_duration": "status"}}, "keep: min_duration: parameter 'status' is no duration or int"),
        (SPAN, {"keep": {"one_in": "slower"}}, "keep: one_in: parameter 'slower' is no int"),
        (
            SPAN,
            {"keep": {"only": {"constant": "which"}}},
            "keep: only: parameter 'which' is no string or int",
        ),
        (SPAN, {"metrics": [{**METRIC, "unit": "ms"}]}, "http.server.request.duration: a duration is in s, not in ms"),
        (SPAN, {"metrics": [{**METRIC, "of": "count"}]}, "unit is missing: a count is of things, such as {request}"),
        (SPAN, {"metrics": [{**METRIC, "bounds": [1, 1]}]}, "each of the bounds must be above the one before it"),
    ],
)
def test_what_is_wrong(span: dict[str, Any], changes: dict[str, Any], sentence: str) -> None:
    changed = {**span, **changes}
    found = problems(WHOLE, changed)
    assert [one for one in found if sentence in one], found
    assert all(one.startswith(f"spans.1 ({changed['event']}): ") for one in found)


def test_a_rule_without_its_events_says_no_more() -> None:
    assert len(problems({**SPAN, "event": "nothing", "key": ["nothing"], "parent": "nothing"})) == 1


def test_metrics_with_the_same_name() -> None:
    sentence = "two metrics are called 'http.server.request.duration'"
    metric = {"instrument": "counter", "unit": "1", "description": "d"}
    assert problems(SPAN, {**SPAN, "event": "answer", "end": "request", "parent": None, "links": []}) == [sentence]
    assert problems(SPAN, metrics={"map": {"name": METRIC["name"], **metric}}) == [sentence]
    assert problems(WHOLE, metrics={name: {"name": "same", **metric} for name in ("one", "two")}) == []


def test_the_shapes_of_exchanges() -> None:
    server = {"name": "{http.request.method}", "metrics": [{**METRIC, "unit": "ms"}], "keep": {"one_in": 0}}
    client = {"name": "x", "metrics": [METRIC]}
    exchange = {"protocol": "http1", "end": "answer", "server": server, "client": client}
    found = problems(exchanges={"request": exchange})
    assert "exchanges.request: event 'request' has no field 'outgoing' (known: " in found[1]
    assert [one for one in found if "has no field" not in one] == [
        "exchanges.request.server: keep: one_in 0 keeps nothing; 1 keeps all",
        "exchanges.request.server: http.server.request.duration: a duration is in s, not in ms",
        "two metrics are called 'http.server.request.duration'",
    ]


def test_the_events_of_exchanges() -> None:
    shape = {"name": "x"}
    exchange = {"protocol": "http1", "end": "anser", "server": shape, "client": shape}
    assert "exchanges.request.end: no event 'anser' (did you mean answer?)" in problems(exchanges={"request": exchange})


def test_the_options_of_exchanges() -> None:
    shape = {"name": "x"}
    exchange = {"protocol": "http1", "end": "answer", "server": shape, "client": shape}
    found = problems(exchanges={"request": {**exchange, "options": {"qury": 0, "query": "status"}}})
    assert "exchanges.request.options: no option 'qury' (did you mean query?)" in found
    assert "exchanges.request.options: query: 'status' is no parameter that is a choice or an int" in found
    assert not [
        one for one in problems(exchanges={"request": {**exchange, "options": {"query": "which"}}}) if "option" in one
    ]
