// SPDX-License-Identifier: Apache-2.0
namespace Orleans.Activations;

/// <summary>Requests waiting in an activation, oldest first. Not thread-safe.</summary>
internal struct WaitingRequests
{
    private Request? _first;
    private Request? _last;
    private int _overtakers;

    public int Count { get; private set; }

    public void Add(Request request)
    {
        if (_last is null)
        {
            _first = request;
        }
        else
        {
            _last.Next = request;
        }

        _last = request;
        Count++;
        _overtakers += request.MayOvertake ? 1 : 0;
    }

    /// <summary>Takes out the oldest that may start.</summary>
    /// <param name="mayStart">Whether a request may start now.</param>
    /// <param name="anyMayOvertake">Whether every request is to be asked; else those after the first only when they may overtake.</param>
    public Request? Take(Func<Request, bool> mayStart, bool anyMayOvertake)
    {
        Request? previous = null;
        for (var request = _first; request is not null; previous = request, request = request.Next)
        {
            if (mayStart(request))
            {
                Remove(previous, request);
                return request;
            }

            if (!anyMayOvertake && _overtakers == 0)
            {
                return null;
            }
        }

        return null;
    }

    /// <summary>Takes all out, oldest first.</summary>
    public List<Request> TakeAll()
    {
        var all = new List<Request>(Count);
        while (_first is { } request)
        {
            Remove(null, request);
            all.Add(request);
        }

        return all;
    }

    /// <summary>Has a simulation reorder them: the engine promises no order among requests that came before the activation was there.</summary>
    public void Shuffle(ITurnExecutor executor)
    {
        if (Count < 2)
        {
            return;
        }

        var all = TakeAll();
        executor.Shuffle(all);
        foreach (var request in all)
        {
            Add(request);
        }
    }

    private void Remove(Request? previous, Request request)
    {
        if (previous is null)
        {
            _first = request.Next;
        }
        else
        {
            previous.Next = request.Next;
        }

        if (_last == request)
        {
            _last = previous;
        }

        request.Next = null;
        Count--;
        _overtakers -= request.MayOvertake ? 1 : 0;
    }
}
