"""Writes the vectors of docs/AES-TRANSPORT.md as C, for programs that have no files."""
import re
import sys

page = open(sys.argv[1], encoding="utf-8").read()
names = []
print('#include "vectors.h"\n#include <string.h>')
for block in re.findall(r"^```vectors\n(.*?)^```", page, re.S | re.M):
    for line in block.splitlines():
        if line.startswith("#"):
            continue
        name, text = line.split()
        data = bytes.fromhex(text)
        print(f"static const uint8_t v{len(names)}[] = {{{','.join(str(byte) for byte in data)}}};")
        names.append(name)
if len(names) < 30:
    sys.exit("the page has no vectors")
print("const vector vectors[] = {")
for at, name in enumerate(names):
    print(f'    {{"{name}", v{at}, sizeof v{at}}},')
print("};\nconst size_t vector_count = sizeof vectors / sizeof *vectors;")
print(
    """const vector *vector_of(const char *name)
{
    for (size_t at = 0; at < vector_count; at++)
        if (!strcmp(vectors[at].name, name))
            return &vectors[at];
    return 0;
}"""
)
