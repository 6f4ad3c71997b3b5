# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash
#
# Sourced by scripts/libcs and scripts/gos: packages of other Debian suites, from
# where this machine gets its own, without installing anything.

# shellcheck source=scripts/apt-source.sh
. "$(dirname "${BASH_SOURCE[0]}")/apt-source.sh"

RELEASES=(bullseye bookworm trixie sid)
# shellcheck source=/dev/null
OWN=$(. /etc/os-release && echo "${VERSION_CODENAME-}")

# apt_usable NAME: says, as NAME, why nothing can be fetched here.
apt_usable() {
	local tool
	[ "$(uname -m)" = x86_64 ] || {
		echo "$1: only for x86_64" >&2
		return 1
	}
	for tool in apt-get dpkg-deb; do
		command -v $tool >/dev/null || {
			echo "$1: $tool is not installed: this is not Debian" >&2
			return 1
		}
	done
}

# The machine's own entry, whatever the release: the first suite that has one.
source_for() {
	local from entry
	for from in "$OWN" "${RELEASES[@]}"; do
		[ -n "$from" ] || continue
		entry=$(derived_source "$from" "$1")
		# Both forms may have come out; one entry is enough.
		[[ $entry == Types:* ]] || entry=${entry%%$'\n'*}
		[ -z "$entry" ] || {
			printf '%s\n' "$entry"
			return 0
		}
	done
	return 1
}

# private_apt DIR PROGRAM...: apt in a state of its own; it neither sees nor
# changes the machine's packages.
private_apt() {
	local dir=$1 program=$2 list
	shift 2
	list=$(cd "$dir" && ls source.*)
	"$program" -q -o Dir::State="$dir/state" -o Dir::State::status="$dir/status" \
		-o Dir::Cache="$dir/cache" -o Dir::Etc::sourcelist="$dir/$list" \
		-o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferences=/dev/null \
		-o Dir::Etc::preferencesparts=/dev/null -o APT::Sandbox::User="$(id -un)" \
		-o APT::Architecture=amd64 -o Acquire::Languages=none -o Acquire::PDiffs=false \
		-o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o APT::Update::Error-Mode=any \
		-o Debug::NoLocking=true "$@"
}

# apt_open SUITE DIR: DIR becomes an apt of its own that knows SUITE; says why not.
apt_open() {
	local suite=$1 dir=$2 entry
	entry=$(source_for "$suite") || {
		echo "no apt source of this machine serves a Debian release"
		return 1
	}
	mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" || return 1
	: >"$dir/status"
	if [[ $entry == Types:* ]]; then
		printf '%s\n' "$entry" >"$dir/source.sources"
	else
		printf '%s\n' "$entry" >"$dir/source.list"
	fi
	private_apt "$dir" apt-get update >"$dir/log" 2>&1 || apt_why "$dir"
}

# apt_download DIR PACKAGE...: the packages, into DIR; says why not.
apt_download() {
	local dir=$1
	shift
	(cd "$dir" && private_apt "$dir" apt-get download "$@") >>"$dir/log" 2>&1 || apt_why "$dir"
}

apt_why() {
	grep -m 1 -E '^(E|W|Err):' "$1/log" || tail -n 1 "$1/log"
	return 1
}
