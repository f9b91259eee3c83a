#!/usr/bin/env python3
"""A terminal's text as an SVG picture:  docs/pictures/terminal.py TITLE < text > picture.svg"""
import html
import re
import sys

WIDTH, HEIGHT = 7.8, 17  # of one character, in pixels, at font size 13
COLOURS = {"DETECT": "#e3b341", "FAULT": "#ff7b72", "RESOLVED": "#56d364", "healthy": "#56d364", "ill": "#ff7b72",
           "healing": "#e3b341", "PLAN": "#79c0ff", "ACT": "#79c0ff", "DONE": "#79c0ff", "VERIFY": "#79c0ff",
           "BLOCKED": "#b1bac4", "CUT": "#ff7b72", "PEOPLE": "#e3b341", "ok": "#56d364"}

title = sys.argv[1]
lines = [line.rstrip() for line in sys.stdin]
while lines and not lines[-1]:
    lines.pop()
columns = max(len(line) for line in lines)
width, height = int(columns * WIDTH) + 40, len(lines) * HEIGHT + 56
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="ui-monospace,Menlo,'
      f'DejaVu Sans Mono,monospace" font-size="13"><title>{html.escape(title)}</title>'
      f'<rect width="100%" height="100%" rx="8" fill="#161b22"/>'
      f'<text x="20" y="26" fill="#8b949e">{html.escape(title)}</text>')
for number, line in enumerate(lines):
    words = "".join(f'<tspan fill="{COLOURS[word]}">{word}</tspan>' if word in COLOURS else html.escape(word)
                    for word in re.split(r"(\b[A-Za-z]+\b)", line))
    print(f'<text x="20" y="{52 + number * HEIGHT}" fill="#e6edf3" xml:space="preserve">{words}</text>')
print("</svg>")
