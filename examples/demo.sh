#!/bin/sh
# From a folder of documents to a cited answer, in two commands. `make demo` runs this; so can you, once it has installed:
#
#     PATH=.venv/bin:$PATH DOCS=folder QUESTION="..." sh examples/demo.sh
set -eu
: "${DOCS:=docs}" "${QUESTION:=What happens to a file that cannot be read?}"
store=build/demo

printf '$ ragline index "%s" --store %s\n' "$DOCS" "$store"
ragline index "$DOCS" --store "$store"
printf '\n$ ragline ask "%s" --store %s\n' "$QUESTION" "$store"
ragline ask "$QUESTION" --store "$store"

cat <<END

Next: ask something else:   .venv/bin/ragline ask "..." --store $store
      use your documents:   make demo DOCS="a folder" QUESTION="..."
      see what is served:   .venv/bin/ragline releases --store $store
      all that there is:    .venv/bin/ragline --help
END
