#!/bin/sh
# Compiler launcher of CUDA sources: asks ptxas for each kernel's registers, spills and shared memory
# and keeps what it says beside the object, as OBJECT.resources, instead of printing it. Goes before
# ccache, which replays what the compiler printed.
previous=
object=
for word in "$@"; do
  [ "$previous" = -o ] && object=$word
  previous=$word
done
case $object in
  *.o) ;;
  *) exec "$@" ;;
esac
log=$(mktemp) || exit 1
"$@" -Xptxas -v 2>"$log"
status=$?
grep -E '^ptxas info|bytes stack frame' "$log" >"$object.resources"
grep -vE '^ptxas info|bytes stack frame' "$log" >&2
rm -f "$log"
exit $status
