import type { Shell } from "./shell.ts";

/** What each shell is to run so that it asks us what words may go on as. */
export const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# Completion of farhand for bash: source <(farhand completion bash)
_farhand() {
  local line kind=""
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ -z $kind ]]; then kind=$line; else COMPREPLY+=("$line"); fi
  done < <(command farhand completion bash -- "\${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
  case $kind in
    open) compopt -o nospace 2>/dev/null ;;
    files)
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$2")
      ;;
  esac
}
complete -F _farhand farhand`,

  zsh: `#compdef farhand
# Completion of farhand for zsh: source <(farhand completion zsh), or as _farhand in a directory of $fpath
_farhand() {
  local line kind value
  local -a fields texts shown opentexts openshown
  for line in "\${(@f)$(command farhand completion zsh -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}"; do
    fields=("\${(@ps:\\t:)line}")
    value=\${fields[2]}
    case \${fields[1]} in
      files) _files; return ;;
      open) opentexts+=("$value"); openshown+=("$value\${fields[3]:+  \${fields[3]}}") ;;
      word) texts+=("$value"); shown+=("$value\${fields[3]:+  \${fields[3]}}") ;;
    esac
  done
  (( $#texts )) && compadd -l -d shown -a texts
  (( $#opentexts )) && compadd -S '' -l -d openshown -a opentexts
  (( $#texts + $#opentexts ))
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _farhand "$@"; else compdef _farhand farhand; fi`,

  fish: `# Completion of farhand for fish: farhand completion fish | source
function __farhand_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l lines (command farhand completion fish -- $before[2..-1] "$current" 2>/dev/null)
    if test "$lines" = :files
        __fish_complete_path "$current"
    else if set -q lines[1]
        printf '%s\\n' $lines
    end
end
complete -c farhand -f -a '(__farhand_complete)'`,

  powershell: `# Completion of farhand for PowerShell: farhand completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName farhand, farhand.exe -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
    ForEach-Object { if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value } else { "$_" } })
  # The last word has a mark before it: older versions leave out arguments that are empty.
  & farhand completion powershell -- @words "=$wordToComplete" 2>$null | ForEach-Object {
    $value, $what = $_ -split "\`t", 2
    $text = if ($value -match '^[\\w@%+=:./\\\\-]+$') { $value } else { "'" + $value.Replace("'", "''") + "'" }
    [System.Management.Automation.CompletionResult]::new($text, $value, 'ParameterValue', $(if ($what) { $what } else { $value }))
  }
}`,
};
