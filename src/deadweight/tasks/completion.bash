_deadweight() {
    local IFS=$'\n' found typed="${COMP_LINE:0:COMP_POINT}"
    found="$("$1" completion --words "$typed" 2>/dev/null)"
    typed="${typed##*[ =]}"  # bash cuts words at colons: only what follows the last one is to be given
    case "$typed" in *:*) found="${found//"${typed%:*}:"/}" ;; @*) found="${found//@/}" ;; esac
    [ -n "$found" ] || found="$(compgen -W "$("$1" --complete -- "${COMP_WORDS[@]}" 2>/dev/null)" -- "$2")"
    COMPREPLY=( $found )
}
complete -o default -F _deadweight invoke inv deadweight
