"""What Fromage promises, rule by rule, and which tests hold it to that: `python tests/optim/rules.py`."""

import ast
from pathlib import Path

HERE = Path(__file__).resolve().parent

# A test is tied to a rule by `@pytest.mark.rule(name)`; every rule has one at least.
RULES = {
    "ordinary step": "W' = (W − η·‖W‖/‖g‖·g) / √(1 + η²), within 1e-6 of an oracle",
    "g = 0": "W is left untouched: with no step there is no growth to correct",
    "g is None": "the tensor is skipped",
    "W = 0": "a raw step −η·g, which Algorithm 1 would never take",
    "tiny or huge": "right at any scale that the dtype holds: blind to g's, equivariant to W's",
    "norm": "relative error at most 1e-6 at any size",
    "half precision": "norms and ratios in float32; what bfloat16 loses is documented and measured",
    "NaN or inf": "in a gradient: the whole tensor becomes NaN, and no other",
    "complex": "equal to view_as_real",
    "sparse": "a sparse gradient is refused, with the way out",
    "one element": "can shrink or grow but never change sign, as documented",
    "p_bound": "per group, recorded when the group is added, saved and restored; zero tensors are unbounded",
    "maximize": "climbs and never touches p.grad",
    "lr": "finite and ≥ 0, or rejected with the value named; a tensor is allowed; 0 leaves W untouched",
    "stale graph": "backward through a graph whose weights have moved is detected",
    "round trip": "pickle, deepcopy, state_dict mid-run: training continues bit for bit",
    "DTensor": "norms are those of the whole tensor, never of the local part",
    "momentum": "m ← βm + (1 − β)g, and m/(1 − βᵗ) takes the place of g, norm included",
    "geometry": "‖W'‖²/‖W‖² = 1 − 2ηc/s² and ‖W' − W‖/‖W‖ = √(2(1 − 1/s)(1 + ηc/s)), s² = 1 + η²",
}


def by_rule() -> dict[str, list[str]]:
    """For each rule, and each name that a test gives for one, the tests that are marked with it."""
    found = {rule: [] for rule in RULES}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for rule in filter(None, map(_rule, node.decorator_list)):
                    found.setdefault(rule, []).append(f"{path.name}::{node.name}")
    return found


def _rule(decorator) -> str | None:
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.rule":
        return ast.literal_eval(decorator.args[0])
    return None


if __name__ == "__main__":
    for rule, tests in by_rule().items():
        print(f"{rule}: {RULES[rule]}", *(f"    {test}" for test in tests), sep="\n")
