-- What `redis.py` asks of the server: one script, so that every call is atomic and knows whose database it is in. It is
-- this file, then `redis_records.lua`, then `redis_history.lua`, then `return answer()`.
--
-- ARGV: the name of one of the functions in `calls`, the id of the database that the driver opened, the epoch and the
-- number of the latest change that it knows of, and the function's arguments, packed by MessagePack. Whole numbers that
-- must be exact are text: Lua has doubles. Moments are scores where they are looked up, and exact where compared.
--
--   kala:meta                     hash: version, database, and the counters epoch, changed, forgotten, seq, printed,
--                                 outputs (bytes)
--   kala:epochs                   hash: epoch -> the change with which it began (`redis_script.py`)
--   kala:records:<kind>           hash: key -> "<revision>:<value>"
--   kala:keys:<kind>              zset of the keys, all with score 0: what `load` walks
--   kala:changed, kala:deleted    zsets: "<kind>:<key>" by the number of its last change
--   kala:runs                     hash: id -> "<ran> <state> <scheduled_for> <at> <length of job>:<job><JSON>"
--   kala:history                  zset: id by seq, the number by which it was appended; the next two are parts of it
--   kala:history:job:<ran>:<job>, kala:history:state:<state>
--   kala:history:scheduled        zset: id by scheduled_for
--   kala:history:at               zset: id by when it ended, or else was created
--   kala:output:<run>             hash: attempt -> data, "<attempt>:size" -> bytes in all
--   kala:outputs                  zset: "<attempt>:<run>" in the order of appending
--
-- A script that fails keeps what it wrote before. So all that an element touches is looked at before its first write;
-- that one is always a command which a full or read-only server refuses, and such a server refuses no later one of the
-- same script. The record is written last, and a run's row after what refers to it: repeated, an element is whole.

local call = redis.call
local META, RUNS, ALL = 'kala:meta', 'kala:runs', 'kala:history'
local SCHEDULED, AT = 'kala:history:scheduled', 'kala:history:at'
local OUTPUTS, CHANGED, DELETED = 'kala:outputs', 'kala:changed', 'kala:deleted'
local EPOCHS = 'kala:epochs'

local calls = {}

local function job_key(ran, job) return 'kala:history:job:' .. ran .. ':' .. job end
local function state_key(state) return 'kala:history:state:' .. state end
local function output_key(run) return 'kala:output:' .. run end
local function counter(name) return tonumber(call('HGET', META, name) or 0) end

-- A string, not a table: Redis 6 takes nothing else. The driver finds what follows KALA.
local function refuse(...) error('KALA ' .. table.concat({...}, ' '), 0) end

local seen = {}
local function expect(kind, ...)
  for _, key in ipairs({...}) do
    if not seen[key] then
      local found = call('TYPE', key).ok
      if found ~= 'none' and found ~= kind then refuse('type', kind, found, key) end
      seen[key] = true
    end
  end
end

-- Opening

local migrations = {
  function(id)
    call('HSET', META, 'database', id)
    for _, name in ipairs({'epoch', 'changed', 'forgotten', 'seq', 'printed', 'outputs'}) do
      call('HSET', META, name, 0)
    end
  end,
}

-- Every command that is used, so that a right that is missing is known before anything is half written.
local function use_rights()
  local key = 'kala:rights'
  for _, command in ipairs({
    {'HSET', key, 'a', 1}, {'HINCRBY', key, 'a', 1}, {'HGET', key, 'a'}, {'HMGET', key, 'a'}, {'HEXISTS', key, 'a'},
    {'HKEYS', key}, {'HGETALL', key}, {'HSTRLEN', key, 'a'}, {'HDEL', key, 'a'}, {'ZADD', key, 1, 'a'},
    {'ZSCORE', key, 'a'}, {'ZRANK', key, 'a'}, {'ZCARD', key}, {'ZCOUNT', key, 1, 2}, {'ZRANGE', key, 0, 1},
    {'ZRANGEBYSCORE', key, 1, 2}, {'ZREVRANGEBYSCORE', key, 2, 1}, {'ZRANGEBYLEX', key, '-', '+'}, {'ZREM', key, 'a'},
    {'ZPOPMIN', key},
  }) do
    call(unpack(command))
  end
end

-- The version of the schema that was found or made, the version that is known here, the id of the database, which is
-- `id` when it is new, and where it stands.
function calls.open(id)
  expect('hash', META)
  expect('hash', EPOCHS)
  local version = counter('version')
  if version > #migrations then return {version, #migrations, '', 0, 0} end
  use_rights()
  while version < #migrations do
    version = version + 1
    migrations[version](id)
    call('HSET', META, 'version', version)
  end
  return {version, version, call('HGET', META, 'database') or refuse('database'), counter('epoch'), counter('changed')}
end

-- Whether a change of an epoch is still what it was: whoever comes after it began no earlier.
local function lasts(epoch, number)
  return epoch == call('HGET', META, 'epoch') or tonumber(call('HGET', EPOCHS, epoch + 1) or -1) >= tonumber(number)
end

-- Before anything else: what is in the driver's memory belongs to this database alone, and to no earlier state of it.
local function answer()
  local name, database, epoch, changed = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
  if name ~= 'open' then
    if call('HGET', META, 'database') ~= database then refuse('database') end
    if not lasts(epoch, changed) then refuse('lost') end
  end
  return calls[name](unpack(cmsgpack.unpack(ARGV[5])))
end
