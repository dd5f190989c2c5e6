"""What errors and results advise in Python, in the words of the command line.

The package says everything in the words of its functions; here alone, both are known.
"""

from __future__ import annotations

import re
from functools import partial

_STRICT = re.compile(r"(?P<in_call>,\s+)?\bstrict=False")
_PICTURES = "--scale, --mean or --std (and --colour and --size"
_TABLE = (
    (r"\bverify=False", "--no-verify"),
    (r"\binput_size=(\(\d+(?:,\s*\d+)*,?\))", "--input-size {}"),
    (r"\binput_size='any'", "--input-size any"),
    (r"\binput_size=\(height,\s+width\)", "--input-size HEIGHTxWIDTH"),
    (r"\ban input_size\b", "an --input-size"),
    (r"\boutput_stride=(\d+|\(\d+(?:,\s*\d+)*,?\))", "--output-stride {}"),
    (r"\boutput_stride (?=is\b)", "--output-stride "),
    (r"\b(without|leave) output_stride\b", "{} --output-stride"),
    (r"\bpooling='keep'", "--pooling keep"),
    (r"\bopset_version is\b", "--opset-version is"),
    (r"\bdata_format is\b", "--data-format is"),
    (r"\bfloat16 and int8 are\b", "--float16 and --int8 are"),
    (r"\bpooling names\b", "--pooling names"),
    (r"\bunknown pooling\b", "unknown --pooling"),
    (r", or an\s+ExactPool\(\), ConvPool\(\.\.\.\) or StridePool\(\)", ""),
    (r"\bgive inputs\b", "give --inputs"),
    (r"\bPreprocessing: (\w+) is\b", "--{} is"),
    (r"\bPreprocessing\(scale=1\)", "--scale 1"),
    (r"\ba Preprocessing with\s+scale, mean or\s+std\s+\(and colour and size", _PICTURES),
    (r"\bleave scale, mean and\s+std out\b", "leave --scale, --mean and --std out"),
    (r"\bwhat Preprocessing makes of\b", "what --scale, --mean and --std make of"),
    (r"\bwith\s+rules=\[\.\.\.\]", "in an installed package"),
    (r'ModelFile\(file, config="([^"]+)"\)', "--config {}"),
    (r"ModelFile\(file, config=\.\.\.\)", "--config"),
)
"""What to look for, and what stands for it; `{}` is the value that was given."""


def in_options(text: str) -> str:
    """Rewrite the advice in a text as options of the command line.

    Example:
        >>> in_options("input_size=(224, 224) gives the images a size")
        '--input-size 224x224 gives the images a size'
    """
    text = _STRICT.sub(lambda found: found[0] if found["in_call"] else "--no-strict", text)
    for pattern, option in _TABLE:
        text = re.sub(pattern, partial(_filled, option), text)
    return text


def _filled(words: str, found: re.Match[str]) -> str:
    value = found[1] if found.re.groups else ""
    if value.startswith("("):  # sizes
        value = "x".join(re.findall(r"\d+", value))
    return words.format(value)
