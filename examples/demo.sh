#!/bin/sh
# From a folder of documents to a cited answer, in four commands. `make demo` runs this; so can you, once it has installed:
#
#     PATH=.venv/bin:$PATH DOCS=folder QUESTION="..." sh examples/demo.sh
set -eu
: "${DOCS:=docs}" "${QUESTION:=What happens to a file that cannot be read?}"
store=build/demo

printf '$ ragline index "%s" --store %s\n' "$DOCS" "$store"
ragline index "$DOCS" --store "$store"
printf '\n$ ragline up --store %s --port 0\n' "$store"
trap 'ragline down --store "$store" >/dev/null' EXIT
trap 'exit 130' INT TERM
ragline up --store "$store" --port 0
printf '\n$ ragline ask "%s" --store %s\n' "$QUESTION" "$store"
ragline ask "$QUESTION" --store "$store"
printf '\n$ ragline down --store %s\n' "$store"
ragline down --store "$store"
trap - EXIT

cat <<END

Next: serve it, and go on:  .venv/bin/ragline up --store $store
      ask something else:   .venv/bin/ragline ask "..." --store $store
      use your documents:   make demo DOCS="a folder" QUESTION="..."
      see what is served:   .venv/bin/ragline status --store $store
      all that there is:    .venv/bin/ragline --help
END
