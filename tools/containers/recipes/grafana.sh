#!/bin/bash
# As the published image's: a variable whose name ends in __FILE names a file with its value.
set -e
for name in $(env | sed -n 's/^\(GF_[A-Z0-9_]*\)__FILE=.*/\1/p'); do
    file="${name}__FILE"
    export "$name"="$(<"${!file}")"
    unset "$file"
done
exec grafana server --homepath="$GF_PATHS_HOME" --config="$GF_PATHS_CONFIG" cfg:default.log.mode=console "$@"
