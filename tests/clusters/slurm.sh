#!/usr/bin/env bash
# A Slurm of one node, this machine:
#
#   tests/clusters/slurm.sh start FOLDER
#   SLURM_CONF=FOLDER/slurm.conf salloc -n 2 fastbp sweep … --executor slurm -j 2
#   tests/clusters/slurm.sh stop FOLDER
#
# Needs root, and Debian's slurm-wlm and munge. Its key, sockets, ports, states and logs lie in FOLDER: it touches no other Slurm.
set -euo pipefail
folder=$(realpath -m "$2")

stop() {
  for name in slurmd slurmctld munged; do
    if [ -s "$folder/$name.pid" ]; then kill "$(cat "$folder/$name.pid")" 2>/dev/null || true; fi
  done
}

give_up() {
  echo "$1" >&2
  stop
  exit 1
}

start() {
  local name host ports
  [ "$(id -u)" -eq 0 ] || give_up "only root can start it"
  for name in munged slurmctld slurmd srun salloc sbatch; do
    command -v "$name" >/dev/null || give_up "there is no $name: apt-get install slurm-wlm munge"
  done
  host=$(hostname -s)
  mkdir -p "$folder"/{state,spool,munge}
  (umask 077 && head -c 128 /dev/urandom >"$folder/munge/key")
  munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munged.pid" \
    --seed-file="$folder/munge/seed" --log-file="$folder/munge/log" || give_up "munged does not start: $(cat "$folder/munge/log")"
  ports=$(python3 -c 'import socket
pair = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in pair))')
  cat >"$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports% *}
SlurmdPort=${ports#* }
SlurmUser=root
AuthInfo=socket=$folder/munge/socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
PlugStackConfig=/dev/null
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000
PartitionName=all Nodes=ALL Default=YES MaxTime=60
CONF
  export SLURM_CONF="$folder/slurm.conf"
  slurmctld -c && slurmd -c -N "$host" || give_up "slurmctld or slurmd does not start"
  for _ in $(seq 60); do
    if [ "$(sinfo -h -o %T 2>/dev/null)" = idle ]; then return; fi
    sleep 0.5
  done
  give_up "its node is not idle: $(sinfo -h 2>&1) $(tail -q -n 3 "$folder"/slurm*.log)"
}

"$1"
