from __future__ import annotations

import pytest

from parsers.stacks import StackFrame, parse_stack


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n", []),
        ("\n    f+1\n    main+2\n", [StackFrame("f"), StackFrame("main")]),  # 0.11 and 0.17, in a key
        ("\\n        f+1\\n        main+2\\n", [StackFrame("f"), StackFrame("main")]),  # 0.23, in a key
        ("\nf+1\nmain+2\n", [StackFrame("f"), StackFrame("main")]),  # 0.27, in a key
        ("\n    0x7f388dc16a80\n", [StackFrame("", 0x7F388DC16A80)]),
        # Where a chain of frame pointers ends; C++ prints a null pointer so.
        ("\\n        0x7ff9451d2932\\n        0\\n", [StackFrame("", 0x7FF9451D2932)]),
        ("\nmain+2\n0\n", [StackFrame("main")]),
        ("\n\t55d8 f+3 (/usr/bin/x)\n\t0 [unknown]\n", [StackFrame("f", 0x55D8, "/usr/bin/x")]),
        ("\n    0\n", []),
        ("\n55b103b1a169\n55b103b1a1b4\n", [StackFrame("", 0x55B103B1A169), StackFrame("", 0x55B103B1A1B4)]),  # raw
        (
            "\n    std::map<int, std::vector<A, B> >::operator[](int const&)+18\n",
            [StackFrame("std::map<int, std::vector<A, B> >::operator[](int const&)")],
        ),
        ("\n    operator+(A const&, A const&)+0\n", [StackFrame("operator+(A const&, A const&)")]),
        (
            "\n    <alloc::vec::Vec<T,A> as core::ops::drop::Drop>::drop+31\n",
            [StackFrame("<alloc::vec::Vec<T,A> as core::ops::drop::Drop>::drop")],
        ),
    ],
)
def test_frames(text: str, expected: list[StackFrame]) -> None:
    assert list(parse_stack(text)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "\tffffffff814b2b2d perf_syscall_enter+397",
            StackFrame("perf_syscall_enter", 0xFFFFFFFF814B2B2D),
        ),
        (
            "\tffffffff81e0011f do_syscall_64+95 ([kernel.kallsyms])",
            StackFrame("do_syscall_64", 0xFFFFFFFF81E0011F, "[kernel.kallsyms]"),
        ),
        ("\t55d8 f(int, A)+3 (/usr/bin/x (deleted))", StackFrame("f(int, A)", 0x55D8, "/usr/bin/x (deleted)")),
        # In map keys 0.24 and later leave the blanks out.
        ("\tffffffff821ef81ado_syscall_64+506", StackFrame("do_syscall_64", 0xFFFFFFFF821EF81A)),
        ("\t55b103b1a169add+4(/usr/bin/x)", StackFrame("add", 0x55B103B1A169, "/usr/bin/x")),
        ("\t401136main+10", StackFrame("main", 0x401136)),
    ],
)
def test_frames_in_perf_mode(line: str, expected: StackFrame) -> None:
    assert parse_stack(f"\n{line}\n") == (expected,)
