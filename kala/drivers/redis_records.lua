-- Records, for `redis.lua`, which names the keys: writing them with their history, and reading them.

local KEPT_DELETIONS = 10000 -- that `changes` still tells of; a listener that is further behind loads everything
local BYTES = 1048576 -- of values in one answer, so that memory stays flat

local function append_output(run, attempt, size, data)
  local key = output_key(run)
  if call('HEXISTS', key, attempt) == 1 then return end
  call('ZADD', OUTPUTS, call('HINCRBY', META, 'printed', 1), attempt .. ':' .. run)
  call('HINCRBY', META, 'outputs', #data)
  call('HSET', key, attempt, data, attempt .. ':size', size)
end

local function append_run(id, job, ran, state, scheduled, at, row)
  if call('HEXISTS', RUNS, id) == 1 then return end
  local seq = call('HINCRBY', META, 'seq', 1)
  call('ZADD', ALL, seq, id)
  call('ZADD', job_key(ran, job), seq, id)
  call('ZADD', state_key(state), seq, id)
  call('ZADD', SCHEDULED, scheduled, id)
  call('ZADD', AT, at, id)
  call('HSET', RUNS, id, row)
end

local function write(kind, key, text)
  local number, name = call('HINCRBY', META, 'changed', 1), kind .. ':' .. key
  if text then
    call('ZADD', CHANGED, number, name)
    call('ZREM', DELETED, name)
    call('ZADD', 'kala:keys:' .. kind, 0, key)
    call('HSET', 'kala:records:' .. kind, key, text)
    return
  end
  call('ZREM', CHANGED, name)
  call('ZADD', DELETED, number, name)
  local excess = call('ZCARD', DELETED) - KEPT_DELETIONS
  if excess > 0 then
    local popped = call('ZPOPMIN', DELETED, excess)
    call('HSET', META, 'forgotten', popped[#popped])
  end
  call('ZREM', 'kala:keys:' .. kind, key)
  call('HDEL', 'kala:records:' .. kind, key)
end

-- 1 when the element is done, else what is stored instead, 0 for nothing. `text` is false to delete.
local function commit_one(kind, key, expected, text, runs, outputs)
  expect('hash', 'kala:records:' .. kind)
  expect('zset', 'kala:keys:' .. kind)
  local current = call('HGET', 'kala:records:' .. kind, key)
  if current ~= text and (current and string.match(current, '^(%d+):') or '0') ~= expected then return current or 0 end
  for _, run in ipairs(runs) do expect('zset', job_key(run[3], run[2]), state_key(run[4])) end
  for _, output in ipairs(outputs) do expect('hash', output_key(output[1])) end
  for _, output in ipairs(outputs) do append_output(unpack(output)) end
  for _, run in ipairs(runs) do append_run(unpack(run)) end
  if current ~= text then write(kind, key, text) end
  return 1
end

-- Epoch and number of the latest change, and an answer for each element.
function calls.commit(elements)
  expect('hash', RUNS)
  expect('zset', ALL, SCHEDULED, AT, OUTPUTS, CHANGED, DELETED)
  local answers = {}
  for place, element in ipairs(elements) do answers[place] = commit_one(unpack(element)) end
  return {counter('epoch'), counter('changed'), answers}
end

function calls.get(kind, key) return call('HGET', 'kala:records:' .. kind, key) end

-- Keys and records of a kind behind the key `after`, by the bytes of their keys: each is met once, whatever is written
-- meanwhile. None: these were all.
function calls.load(kind, after, most)
  local found, size = {}, 0
  local keys = call('ZRANGEBYLEX', 'kala:keys:' .. kind, after and '(' .. after or '-', '+', 'LIMIT', 0, most)
  for _, key in ipairs(keys) do
    local text = call('HGET', 'kala:records:' .. kind, key)
    found[#found + 1], found[#found + 2] = key, text
    size = size + (text and #text or 0)
    if size > BYTES then break end
  end
  return found
end

-- Epoch and number of the latest change; all that was deleted behind `since` (unless `upto` is given: then it was told
-- already); and the first names, numbers and records of what was changed behind `since` and not behind `upto`. Nothing
-- of this when `since` is not a change of that epoch, or deletions behind it are forgotten.
function calls.changes(epoch, since, upto, most)
  local last, stored, size = counter('changed'), {}, 0
  local head = {counter('epoch'), last}
  if tonumber(since) < counter('forgotten') or tonumber(since) > last or not lasts(epoch, since) then return head end
  head[3] = upto and {} or call('ZRANGEBYSCORE', DELETED, '(' .. since, last)
  local names = call('ZRANGEBYSCORE', CHANGED, '(' .. since, upto or last, 'WITHSCORES', 'LIMIT', 0, most)
  for place = 1, #names, 2 do
    local colon = string.find(names[place], ':', 1, true) or 0
    local text = calls.get(string.sub(names[place], 1, colon - 1), string.sub(names[place], colon + 1))
    stored[#stored + 1], stored[#stored + 2], stored[#stored + 3] = names[place], names[place + 1], text
    size = size + (text and #text or 0)
    if size > BYTES then break end
  end
  head[4] = stored
  return head
end
