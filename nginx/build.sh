#!/bin/sh
# Build the module against the nginx that nginx-dev describes.
#
#     build.sh <folder of nginx/config> <build folder> <where the .so goes> [more flags for cc]
#
# nginx's configure writes into its own tree, so it runs in a copy.
set -eu
module=$1 build=$2 out=$3 flags=${4:-}
tree=${NGINX_DEV:-/usr/share/nginx/src}
log=$build/configure.log

mkdir -p "$build"
if [ ! -e "$build/objs/Makefile" ] || [ "$module/config" -nt "$build/objs/Makefile" ]; then
    rm -rf "$build/tree" "$build/objs"
    cp -r "$tree" "$build/tree"
    # Quoted arguments stand in conf_flags: a bash array.
    (cd "$build/tree" && bash -c '
        . ./conf_flags
        ./configure --with-cc-opt="-g -O2 -fPIC -D_GNU_SOURCE '"$flags"'" \
            --with-ld-opt="-fPIC -Wl,-Bsymbolic -Wl,-z,relro -Wl,-z,now '"$flags"'" "${NGX_CONF_FLAGS[@]}" \
            --add-dynamic-module="$1" --builddir="$2"' build "$module" "$build/objs") \
        >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi
make -s -C "$build/tree" -f "$build/objs/Makefile" modules >"$build/make.log" 2>&1 ||
    { cat "$build/make.log" >&2; exit 1; }
cp "$build/objs/ngx_http_postern_module.so" "$out"
