# SPDX-License-Identifier: MIT
# embed.py IN OUT NAME: the bytes of a text file as a C array that ends in NUL.
import sys

data = open(sys.argv[1], "rb").read() + b"\0"
rows = [", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
with open(sys.argv[2], "w") as out:
    out.write("extern const char %s[];\nconst char %s[] = {\n\t%s\n};\n" % (sys.argv[3], sys.argv[3], ",\n\t".join(rows)))
