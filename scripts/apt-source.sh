# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# Sourced by scripts/setup and scripts/apt-fetch.sh.

# Prints the apt source entry, in its own form, that serves main of suite $1,
# with the suite replaced by $2: mirror, key and options stay this machine's.
derived_source() {
	local f
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -e "$f" ] || continue
		awk -v from="$1" -v to="$2" '
			$1 != "deb" { next }
			{
				s = 2
				if ($2 ~ /^\[/) { while ($s !~ /\]$/ && s < NF) s++; s++ }
				s++
				if ($s != from) next
				for (i = s + 1; i <= NF; i++) if ($i == "main") found = 1
				if (!found) next
				line = $1
				for (i = 2; i < s; i++) line = line " " $i
				print line, to, "main"
				exit
			}' "$f"
	done | head -n 1
	for f in /etc/apt/sources.list.d/*.sources; do
		[ -e "$f" ] || continue
		awk -v from="$1" -v to="$2" '
			BEGIN { RS = ""; FS = "\n" }
			{
				out = ""; suite = comp = deb = 0; off = 0; key = ""
				for (i = 1; i <= NF; i++) {
					if ($i ~ /^#/) continue
					if ($i ~ /^[^ \t]/) { key = tolower($i); sub(/:.*/, "", key) }
					n = split($i, w, /[ \t]+/)
					for (j = 1; j <= n; j++) {
						if (key == "suites" && w[j] == from) suite = 1
						if (key == "components" && w[j] == "main") comp = 1
						if (key == "types" && w[j] == "deb") deb = 1
						if (key == "enabled" && w[j] ~ /^(no|false|0)$/) off = 1
					}
					if (key != "suites" && key != "types" && key != "components")
						out = out $i "\n"
				}
				if (!suite || !comp || !deb || off) next
				printf "Types: deb\n%sSuites: %s\nComponents: main\n", out, to
				exit
			}' "$f"
	done | awk '/^Types:/ && n++ { exit } { print }'
}
