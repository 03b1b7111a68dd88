#!/bin/sh
# A plugin for protoc that keeps the request it gets in $TETHER_REQUEST and answers with no files.
exec cat >"$TETHER_REQUEST"
