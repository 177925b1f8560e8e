-- Which fires of one instant may this node take to the store?
--
-- KEYS     one per fire: lb:<installation>:{<second>}:<micros>:<schedule_id>:<shard>. They share the hash
--          tag, and so one slot of a Redis Cluster.
-- ARGV[1]  the token of the node that asks
-- ARGV[2]  for how many milliseconds a key is kept
-- returns  for each key 1 if nobody had it, or if this token has it already (the reply to an earlier
--          question was lost); 0 if another token has it
local answers = {}
for i, key in ipairs(KEYS) do
    if redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', key) == ARGV[1] then
        answers[i] = 1
    else
        answers[i] = 0
    end
end
return answers
