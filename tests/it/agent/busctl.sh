#!/bin/sh
case "$*" in
*ListSessions*) echo '{"type":"a(susso)","data":[[["7",1000,"ada","","/b"]]]}' ;;
*) echo '{"type":"a(ssssuu)","data":[[]]}' ;;
esac
